// SPDX-License-Identifier: Apache-2.0
// The daemon as the suite plays it for a client: an emulator with a segment of its own, and what
// its journal tells of the client.
//
// One thread uses a TestDaemon at a time.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "check/result.h"
#include "check/session.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/emulator/emulator.h"

namespace hyperpod::conformance::client {

/// How something counted changed over time: moments and changes.
using Changes = std::vector<std::pair<TimePoint, int>>;

/// The greatest sum of changes; ends count before beginnings of the same moment.
int peak_of(Changes changes);

/// What one worker, which has a bucket of its own, did to the daemon.
struct Usage {
  Changes connections;
  Changes requests;  ///< In flight.

  int peak_connections() const { return peak_of(connections); }
  int peak_requests() const { return peak_of(requests); }
};

/// A free port of 127.0.0.1 that nobody else is given while this lives. Whoever listens on it says
/// SO_REUSEADDR; while nobody does, connections are refused.
class ReservedPort {
 public:
  /// Throws a SuiteFailure if there is none.
  ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  std::uint16_t number() const { return number_; }

 private:
  base::FileDescriptor fd_;
  std::uint16_t number_ = 0;
};

class TestDaemon {
 public:
  using Configure = std::function<void(emulator::Options&)>;

  /// Throws a SuiteFailure if the emulator cannot be started.
  TestDaemon(const Configure& configure, Transcript& transcript);
  ~TestDaemon();

  emulator::Emulator& emulator() { return *emulator_; }
  emulator::Statistics statistics() const { return emulator_->statistics(); }
  const std::string& url() const { return url_; }
  const std::string& shm_name() const { return shm_name_; }
  std::string segment_path() const { return "/dev/shm/" + shm_name_; }

  /// Stores an object, as another client of the node would.
  void store(const std::string& bucket, const std::string& key, std::string_view object);
  /// The client begins: what was counted until now was the suite's own doing.
  void begin();

  void add_fault(emulator::Fault fault);
  void cause(const emulator::Effects& effects);

  /// Ends the emulator; its port refuses connections from then on.
  void stop();
  /// A new emulator at the same port, with the same segment name, as after a restart.
  void start_again();

  /// Waits until `condition` holds. Throws a SuiteFailure that says `what` did not come about.
  void await(const std::function<bool()>& condition, Duration patience, const std::string& what);
  bool reaches(const std::function<bool()>& condition, Duration patience);

  /// The requests of the client, oldest first.
  std::vector<emulator::JournalEntry> requests(
      std::optional<emulator::JournalOperation> operation = {},
      const std::optional<std::string>& bucket = {});
  /// Connections that the client opened since begin().
  std::vector<emulator::ConnectionLife> connections();

  /// By bucket. Connections that carried no request stand under "", which is there always.
  ///
  /// The daemon learns of a connection's end, and of a request given up, a moment after the client:
  /// such an end counts as `grace` earlier.
  std::map<std::string, Usage> usage(Duration grace = std::chrono::milliseconds(100));
  /// The greatest number of requests of the client that were in flight at once, of those `counts`
  /// is true of. The grace is as above.
  int peak_of_requests(const std::function<bool(const emulator::JournalEntry&)>& counts);

 private:
  void start();
  bool is_own(std::uint64_t connection) const { return own_connections_.contains(connection); }

  Configure configure_;
  Transcript& transcript_;
  std::string shm_name_;
  std::string url_;
  ReservedPort port_;  // so that a daemon that starts again finds it free
  std::optional<emulator::Emulator> emulator_;
  std::set<std::uint64_t> own_connections_;  // over which the suite stored
};

}  // namespace hyperpod::conformance::client
