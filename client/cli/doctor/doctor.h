// SPDX-License-Identifier: Apache-2.0
// hyperpod-kv doctor: looks at everything between an engine and its daemon, from where the engine
// would run, and says what is wrong and what to do about it.
//
// It stores one small object in each daemon, which stays there until it is evicted because the
// protocol has no delete, and releases the lease that it takes. It writes nothing else anywhere.
#pragma once

#include "cli/doctor/checks.h"

namespace hyperpod::client::cli::doctor {

/// Runs all checks that can be run.
Report diagnose(const Machine& machine, const Inquiry& inquiry);

}  // namespace hyperpod::client::cli::doctor
