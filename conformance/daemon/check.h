// What a check has in hand: connections to the daemon, the segment, names and bytes of its own, and
// ways to end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/session.h"
#include "probe/segment.h"
#include "report/report.h"
#include "requirements/catalogue.h"

namespace hyperpod::conformance {

/// A lease as the daemon granted it.
struct Grant {
  std::string id;
  std::vector<Fragment> fragments;
  Moment asked;

  std::uint64_t size() const;
};

/// Which daemon, and how to treat it. See RunOptions in suite.h for what concerns a whole run.
struct Target {
  Endpoint endpoint;
  TlsSettings tls;
  std::string shm_name;
  std::uint64_t capacity = 0;  ///< In bytes; 0: unknown, and nothing may be evicted.
  std::string bucket = "hyperpod-conformance";
  double time_scale = 1;
  Profile profile = Profile::full;
  /// Restarts the daemon and returns when it may be asked again. Empty: it must not be restarted.
  std::function<Result<void>()> restart;
  /// A hyperpod-conformance program, to be run as a worker process.
  std::string worker_program;
  /// Stands in every key, so that runs never meet.
  std::string run_id;
};

class Check {
 public:
  /// `segment` may be replaced by remap().
  Check(const Target& target, const Requirement& requirement,
        std::shared_ptr<const Segment> segment, std::uint64_t seed);

  const Target& target() const { return target_; }
  /// A time limit or a TTL, made longer on slow machines.
  std::chrono::milliseconds span(std::chrono::milliseconds time) const;
  /// In bytes. Skips the check when it is unknown or too large to be filled in a test.
  std::uint64_t capacity() const;

  // Ways to end.
  [[noreturn]] void skip(std::string reason) const { throw Skipped{std::move(reason)}; }
  void expect(bool holds, std::string expected, std::string seen) const;
  void expect_status(const Answer& answer, int status, std::string_view to_what) const;
  void expect_one_of(const Answer& answer, std::initializer_list<int> statuses,
                     std::string_view to_what) const;
  /// A figure for the report, whatever the outcome.
  void figure(std::string name, std::string value);

  // Material. Bodies are random, so that no two are alike.
  Name fresh_name(std::string_view suffix = "");
  std::string bytes(std::size_t size);

  /// Throws a Violation when no connection can be made.
  Session connect();
  /// For checks of the connection itself.
  Result<Session> try_connect(const Endpoint& endpoint, const TlsSettings& tls, int family);
  std::vector<Session> connect_many(std::size_t count);

  // What most checks are built from. They accept what other requirements forbid (a 201, a wrong
  // content type), so that a defect fails the checks that are about it.
  void store(Session& session, const Name& name, std::string_view body);
  Grant lease(Session& session, const Name& name, const LeaseTerms& terms = {});
  /// The grant in an answer; it is released when the check ends.
  Grant grant_in(const Answer& answer);
  /// Whatever the daemon answers.
  void release(Session& session, const Grant& grant);
  /// Tells that this lease need not be released any more.
  void forget(const Grant& grant);
  std::string read(const Grant& grant) const;
  void expect_bytes(const Grant& grant, std::string_view bytes, std::string_view whose) const;
  /// Leases `name` anew and compares.
  void expect_stored(Session& session, const Name& name, std::string_view bytes);
  void expect_absent(Session& session, const Name& name, std::string_view why);
  /// That a new connection is served, which is what matters after an attack.
  void expect_alive();

  const Segment& segment() const { return *segment_; }
  /// Maps the segment anew, after a restart.
  void remap();

  /// Releases what the check has leased and not released, as far as the daemon lets it.
  void tidy();
  const Transcript& transcript() const { return transcript_; }
  const std::vector<std::pair<std::string, std::string>>& figures() const { return figures_; }
  std::shared_ptr<const Segment> shared_segment() const { return segment_; }

 private:
  const Target& target_;
  const Requirement& requirement_;
  std::shared_ptr<const Segment> segment_;
  Transcript transcript_;
  std::mutex mutex_;  // guards what follows
  std::mt19937_64 random_;
  int names_ = 0;
  std::vector<std::string> open_leases_;
  std::vector<std::pair<std::string, std::string>> figures_;
};

/// Whether a lease was refused as a miss is.
inline bool is_miss(const Answer& answer) { return answer.status == 404 || answer.status == 504; }

/// "200 (application/json, 59 bytes)", for messages.
std::string described(const Answer& answer);

}  // namespace hyperpod::conformance
