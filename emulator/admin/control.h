// SPDX-License-Identifier: Apache-2.0
// What the admin port may see and do: the same objects that in-process users reach.
//
// Thread-safe.
#pragma once

#include <string>

#include "hyperpod/emulator/clock.h"
#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/faults.h"
#include "hyperpod/emulator/journal.h"
#include "hyperpod/emulator/options.h"
#include "hyperpod/emulator/state.h"
#include "hyperpod/emulator/statistics.h"

namespace hyperpod::emulator::admin {

class Control {
 public:
  virtual ~Control() = default;
  virtual Statistics statistics() const = 0;
  virtual State state() const = 0;
  virtual SegmentState segment() const = 0;
  virtual FaultPlan& faults() = 0;
  virtual Journal& journal() = 0;
  virtual Clock& clock() = 0;
  virtual const Options& options() const = 0;
  /// False from the beginning of stop() on.
  virtual bool ready() const = 0;
  virtual void reset(const ResetSelection& selection) = 0;
  /// Does what a fault's incident would do, at once. Of `effects` only the incident's fields count.
  virtual Result<void> cause(const Effects& effects) = 0;
};

}  // namespace hyperpod::emulator::admin
