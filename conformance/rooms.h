// SPDX-License-Identifier: Apache-2.0
// The rooms of the suite, and which of them each may use. A room is a folder and a namespace; what
// is not listed here is out of its sight. All of them use hyperpod::base.
//
// Only the rooms proxy, client and defects know the emulator: it is the daemon that clients under
// test talk to, and what defective daemons are made of.
#pragma once

#include "hyperpod/base/assertions.h"
#include "hyperpod/base/clock.h"
#include "hyperpod/base/error.h"

namespace hyperpod::conformance {

using base::Duration;
using base::Error;
using base::ErrorCode;
using base::Result;
using base::TimePoint;

/// The two catalogues.
namespace requirements {}

/// Connections, HTTP messages and the segment, as one observer sees them.
namespace probe {}

/// What every check has in hand, how it ends, and how many of them are run.
namespace check {
using namespace requirements;
using namespace probe;
}  // namespace check

/// Runs as text, JSON, JUnit and HTML.
namespace report {
using namespace requirements;
using namespace probe;
using namespace check;
}  // namespace report

/// A proxy that records or changes what passes through it.
namespace proxy {
using namespace probe;
}  // namespace proxy

/// The checks of daemons.
namespace daemon {
using namespace requirements;
using namespace probe;
using namespace check;
using namespace report;
}  // namespace daemon

/// The checks of clients, and of drivers.
namespace client {
using namespace requirements;
using namespace probe;
using namespace check;
using namespace report;
using namespace proxy;
}  // namespace client

/// Daemons and clients with one known defect each, and the self-check that runs the suites on them.
namespace defects {
using namespace requirements;
using namespace probe;
using namespace check;
using namespace report;
using namespace proxy;
}  // namespace defects

/// The program.
namespace cli {
using namespace requirements;
using namespace probe;
using namespace check;
using namespace report;
}  // namespace cli

}  // namespace hyperpod::conformance
