// SPDX-License-Identifier: Apache-2.0
// What the admin port may see and do: the same objects that in-process users reach.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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
  /// A page of the segment's blocks, from `first` on: about `most` runs and the objects that begin
  /// among them.
  virtual BlockPage blocks(std::uint64_t first, std::size_t most) const = 0;
  virtual MapState map() const = 0;
  /// At most `most` leases and `most` waiters, each the next to end first.
  virtual LiveState live(std::size_t most) const = 0;
  virtual std::vector<NamespaceState> namespaces() const = 0;
  virtual SegmentState segment() const = 0;
  virtual FaultPlan& faults() = 0;
  virtual Journal& journal() = 0;
  virtual Clock& clock() = 0;
  virtual const Options& options() const = 0;
  /// Of the data port.
  virtual const std::string& url() const = 0;
  virtual std::chrono::system_clock::time_point started() const = 0;
  virtual std::chrono::milliseconds uptime() const = 0;  ///< In real time.
  /// False from the beginning of stop() on.
  virtual bool ready() const = 0;
  virtual void reset(const ResetSelection& selection) = 0;
  /// Does what a fault's incident would do, at once. Of `effects` only the incident's fields count.
  virtual Result<void> cause(const Effects& effects) = 0;
};

}  // namespace hyperpod::emulator::admin
