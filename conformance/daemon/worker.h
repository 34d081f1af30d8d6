// SPDX-License-Identifier: Apache-2.0
// A worker process of the many-workers check: it does to the daemon what one engine of a node with
// tensor parallelism does, holding most of its connections in lease requests for keys that do not
// come while it stores, leases and releases over the others.
//
// The suite starts `hyperpod-conformance worker …` and reads one line of JSON from each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance::daemon {

struct WorkerOrder {
  unsigned connections = 16;  ///< All; a quarter of them, 4 at most, is not held.
  std::chrono::milliseconds duration{1000};
  std::uint64_t seed = 0;  ///< Of the bytes stored; worker processes add their number.
};

struct WorkerFigures {
  std::uint64_t connected = 0;   ///< All connections ordered, or 0.
  std::uint64_t operations = 0;  ///< PUT, lease and release of one object each.
  std::uint64_t granted = 0;     ///< Operations whose object had not been evicted before its lease.
  std::uint64_t held = 0;        ///< Requests held and answered as misses.
  std::uint64_t wrong = 0;       ///< Answers that no such request should get, none included.
  double p99_ms = 0;             ///< Of one ordinary request.
  double slowest_ms = 0;
};

/// Does the work in this process.
WorkerFigures run_worker(const Target& target, const WorkerOrder& order);

/// One line, without its end.
std::string to_json(const WorkerFigures& figures);

/// Starts `count` worker processes at once and waits for their figures. Throws SuiteFailure when
/// one cannot be started or does not report.
std::vector<WorkerFigures> run_worker_processes(const Target& target, const WorkerOrder& order,
                                                unsigned count);

}  // namespace hyperpod::conformance::daemon
