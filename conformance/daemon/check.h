// SPDX-License-Identifier: Apache-2.0
// What a check has in hand: connections to the daemon, the segment, names and bytes of its own, and
// ways to end.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/check.h"
#include "check/session.h"
#include "probe/segment.h"
#include "requirements/catalogue.h"

namespace hyperpod::conformance::daemon {

/// A lease as the daemon granted it.
struct Grant {
  std::string id;
  std::vector<Fragment> fragments;
  bool id_is_string = true;  ///< False for a number, which the clients put into a path as well.
  TimePoint asked;           ///< When the request had been handed to the kernel.

  std::uint64_t size() const;
};

/// How often a check is run that ends in Missing.
inline constexpr int attempts_where_missing = 3;

/// How long an object that was never leased must stay, nothing else being stored, as far as whoever
/// waits anyway looks at it.
inline constexpr auto objects_stay = std::chrono::milliseconds(4500);

/// Objects that nobody has touched for long.
struct LeftAlone {
  struct Leased {
    Name name;
    Grant grant;
    TimePoint ends;  ///< Its lease, at the latest.
  };

  bool found = false;  ///< One that was never leased, after objects_stay.
  /// Leases kept these from being evicted, and were the last that was asked of them. In the order
  /// of their ends.
  std::vector<Leased> leased;
};

/// Larger than what daemons take in one piece: many have another way for such bodies.
inline constexpr std::size_t large_body = 3 << 20;

/// Which daemon, and how to treat it.
struct Target {
  Endpoint endpoint;
  TlsSettings tls;
  std::string shm_name;
  std::uint64_t capacity = 0;  ///< In bytes; 0: unknown, and nothing may be evicted.
  std::string bucket = "hyperpod-conformance";  ///< Not percent-encoded.
  double time_scale = 1;
  Profile profile = Profile::full;
  /// Restarts the daemon and returns when it may be asked again. Empty: it must not be restarted.
  std::function<Result<void>()> restart;
  /// Why it failed though the daemon is there, if it has; of one run.
  std::shared_ptr<std::string> restart_failure = std::make_shared<std::string>();
  /// The MUST by which nobody listens any more, if a check has found that; of one run.
  std::shared_ptr<std::atomic<const Requirement*>> lost =
      std::make_shared<std::atomic<const Requirement*>>(nullptr);
  /// What a patient check left for a late one to look at; of one run.
  std::shared_ptr<LeftAlone> left_alone = std::make_shared<LeftAlone>();
  /// Everything that the daemon holds may be removed.
  bool allow_reset = false;
  /// A hyperpod-conformance program, to be run as a worker process.
  std::string worker_program;
  /// Stands in every key, so that runs never meet.
  std::string run_id;
};

class Check : public check::Check {
 public:
  /// `segment` may be replaced by remap().
  Check(const Target& target, const Requirement& requirement,
        std::shared_ptr<const Segment> segment, std::uint64_t seed);

  const Target& target() const { return target_; }
  /// In bytes. Skips the check when it is unknown or too large to be filled in a test.
  std::uint64_t capacity() const;

  void expect_status(const Response& response, int status, std::string_view to_what,
                     Symptom symptom = Symptom::other) const;
  void expect_one_of(const Response& response, std::initializer_list<int> statuses,
                     std::string_view to_what, Symptom symptom = Symptom::other) const;
  /// A lease request whose key is absent was answered by a miss.
  void expect_miss(const Response& response, std::string expected) const;

  /// Tells that this check, a patient one, stores and leases nothing more.
  void only_waits() {
    if (on_waiting_) on_waiting_();
  }
  /// Calls `action` then.
  void when_waiting(std::function<void()> action) { on_waiting_ = std::move(action); }

  // Material. Bodies are random, so that no two are alike.
  Name fresh_name(std::string_view suffix = "");
  std::string bytes(std::size_t size);

  /// Throws a Violation when no connection can be made, or NotJudged where another check has found
  /// that before.
  Session connect();
  /// Whether a connection can be made.
  bool is_reachable();
  /// Whether for a second every connection is refused or, looked at `closely`, ended as soon as it
  /// is made.
  bool is_gone(bool closely);
  /// Throws NotJudged if another check has found that nobody listens any more, and nobody does.
  void expect_not_lost();
  /// Tells all checks that nobody listens any more, and throws a Violation.
  [[noreturn]] void lose(std::string expected, std::string seen);
  /// For checks of the connection itself.
  Result<Session> try_connect(const Endpoint& endpoint, const TlsSettings& tls, int family);
  std::vector<Session> connect_many(std::size_t count);
  /// Calls `work` for 0 to count - 1, several at a time, each with a session that nobody else uses
  /// meanwhile; once more where it ended in Missing. Throws what one of them threw; those that have
  /// not begun are left out then.
  void side_by_side(std::size_t count, const std::function<void(Session&, std::size_t)>& work);

  // What most checks are built from. They accept what other requirements forbid (a 201, a wrong
  // content type), so that a defect fails the checks that are about it.
  void store(Session& session, const Name& name, std::string_view body);
  /// Stores a new object of this many bytes.
  Name stored(Session& session, std::size_t size = 1000);
  Grant lease(Session& session, const Name& name, const LeaseTerms& terms = {});
  /// So many leases on one object, asked for over all sessions at a time; `what` names them.
  std::vector<Grant> lease_many(std::vector<Session>& sessions, const Name& name, std::size_t count,
                                const LeaseTerms& terms, std::string_view what);
  /// Releases these, likewise. The first response that is not a 200, if there is one.
  std::optional<Response> release_many(std::vector<Session>& sessions,
                                       std::span<const Grant> grants);
  /// The grant in a response; it is released when the check ends.
  Grant grant_in(const Response& response);
  /// Whatever the daemon answers.
  void release(Session& session, const Grant& grant);
  /// Tells that this lease need not be released any more.
  void forget(const Grant& grant);
  std::string read(const Grant& grant) const;
  void expect_bytes(const Grant& grant, std::string_view bytes, std::string_view whose) const;
  /// Leases `name` anew and compares.
  void expect_stored(Session& session, const Name& name, std::string_view bytes);
  /// Likewise, but it may have been evicted.
  void expect_stored_or_gone(Session& session, const Name& name, std::string_view bytes);
  void expect_absent(Session& session, const Name& name, std::string_view why);
  /// Throws Missing if a lease on a stored key was refused as a miss is; other refusals are the
  /// caller's to judge.
  void expect_present(const Response& response, std::string_view what) const;
  /// Throws Missing if the second PUT of a stored key was answered as the first one.
  void expect_taken(const Response& response, std::string_view what) const;
  /// That a new connection is served, which is what matters after an attack.
  void expect_alive();

  const Segment& segment() const { return *segment_; }
  /// Maps the segment anew, after a restart.
  void remap();

  /// Releases what the check has leased and not released, as far as the daemon lets it.
  void release_open_leases();
  /// Before the check is run once more: what the run before it left is gone.
  void begin_again();
  std::shared_ptr<const Segment> shared_segment() const { return segment_; }

 private:
  const Target& target_;
  std::shared_ptr<const Segment> segment_;
  std::function<void()> on_waiting_;
  std::mutex mutex_;  // guards what follows
  std::mt19937_64 random_;
  int names_ = 0;
  std::vector<std::string> open_leases_;
};

/// Whether a lease was refused as a miss is.
inline bool is_miss(const Response& response) {
  return response.status == 404 || response.status == 504;
}

/// Whether this is one JSON value, of any kind.
bool is_json(std::string_view text);

/// "200 (application/json, 59 bytes)", for messages.
std::string described(const Response& response);

}  // namespace hyperpod::conformance::daemon
