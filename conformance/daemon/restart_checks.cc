// SPDX-License-Identifier: Apache-2.0
// Restarts, and the loss of the segment's name. Only with leave to restart the daemon.
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

void need_restart(Check& check) {
  if (!check.target().restart)
    check.skip("the daemon may not be restarted; give --restart-command to allow it");
  // Once is enough, and what is unlinked now would not come back.
  if (!check.target().restart_failure->empty())
    check.skip("restarting failed before: " + *check.target().restart_failure);
  check.expect_not_lost();
}

/// Restarts the daemon and maps its segment as soon as the daemon answers.
void restart(Check& check) {
  const auto done = check.target().restart();
  const TimePoint deadline = now() + (done ? check.span(60s) : 0ms);
  while (!check.is_reachable()) {
    if (now() >= deadline) {
      check.lose("the daemon back after a restart",
                 done ? "nobody listens after " + in_ms(check.span(60s)) : done.error().message);
    }
    std::this_thread::sleep_for(50ms);
  }
  if (!done) {
    *check.target().restart_failure = done.error().message;
    throw GivenFailure{{done.error().message + "; the daemon is there all the same"}};
  }
  // For a moment the new segment is not there yet, or has no length.
  while (!Segment::open(check.target().shm_name) && now() < deadline)
    std::this_thread::sleep_for(20ms);
  check.remap();
}

void segment_is_new_after_a_restart(Check& check) {
  need_restart(check);
  const SegmentFacts before = check.segment().facts();
  restart(check);
  const SegmentFacts after = check.segment().facts();
  check.expect(after.inode != before.inode || after.device != before.device,
               "another inode under the segment's name",
               "inode " + std::to_string(after.inode) + " again");
  check.expect(after.size == before.size, "the same size", std::to_string(after.size));
}

void daemon_serves_after_a_restart(Check& check) {
  need_restart(check);
  const SegmentFacts before = check.segment().facts();
  restart(check);
  const SegmentFacts after = check.segment().facts();
  check.expect(
      after.size == before.size && after.mode == before.mode && after.owner == before.owner,
      "a segment of the same size, mode and owner as before the restart",
      std::to_string(after.size) + " bytes instead of " + std::to_string(before.size) +
          ", or another mode or owner");
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100'000);
  check.expect_status(session.put(name, body), 200, "a PUT after the restart");
  check.expect_stored(session, name, body);
  if (check.target().capacity == 0 || check.profile() == Profile::core) return;
  Pressure pressure(check);
  const int fitted = pressure.pin(5);
  check.expect(fitted == 5, "room for 5 eighths of the cache after a restart",
               "room for " + std::to_string(fitted));
  pressure.expect_pinned_bytes("stored after a restart");
  pressure.release_all();
}

void leases_do_not_outlive_a_restart(Check& check) {
  need_restart(check);
  // The first leases since a restart: ids that are counted anew repeat.
  restart(check);
  Session before = check.connect();
  const Grant grant = check.lease(before, check.stored(before), {.ttl = 300s});
  restart(check);
  Session after = check.connect();
  const Name name = check.stored(after);
  for (int i = 0; i < 8; ++i) (void)check.lease(after, name, {.ttl = check.span(60s)});
  check.expect_status(after.release(grant.id), 404,
                      "the release of a lease from before the restart");
  check.forget(grant);
}

/// Nothing of before a restart is there: neither granted nor in the way of a new PUT.
void objects_do_not_outlive_a_restart(Check& check) {
  need_restart(check);
  Session before = check.connect();
  const Name name = check.fresh_name();
  check.store(before, name, check.bytes(10'000));
  restart(check);
  Session after = check.connect();
  check.expect_absent(after, name, "it was stored before the restart");
  const std::string body = check.bytes(10'000);
  check.expect_status(after.put(name, body), 200, "the PUT of a key of before the restart");
  check.expect_stored(after, name, body);
}

/// Takes the segment's name away and gives the daemon back whole, whatever the check finds.
class Unlinked {
 public:
  explicit Unlinked(Check& check) : check_(check) {
    if (::shm_unlink(("/" + check.target().shm_name).c_str()) != 0) {
      check.skip(errno == ENOENT
                     ? "the segment has no name any more, though the daemon was restarted"
                     : std::string("the segment cannot be unlinked: ") + std::strerror(errno));
    }
  }
  ~Unlinked() {
    try {
      restart(check_);
    } catch (...) {
      // The next check of this chapter will tell.
    }
  }
  Unlinked(const Unlinked&) = delete;
  Unlinked& operator=(const Unlinked&) = delete;

 private:
  Check& check_;
};

void unlinked_segment_does_not_come_back(Check& check) {
  need_restart(check);
  const Unlinked unlinked(check);
  Session session = check.connect();
  (void)session.put(check.fresh_name(), "x");
  std::this_thread::sleep_for(check.span(1s));
  check.expect(!look_at_segment(check.target().shm_name),
               "no segment under its name before a restart", "there is one again");
}

void daemon_serves_from_the_orphan(Check& check) {
  need_restart(check);
  const Unlinked unlinked(check);
  Session session = check.connect();
  const Name name = check.fresh_name();
  const std::string body = check.bytes(100'000);
  check.expect_status(session.put(name, body), 200, "a PUT while the segment has no name");
  check.expect_stored(session, name, body);
}

}  // namespace

std::span<const CheckEntry> restart_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"RESTART-01", core, disruptive, segment_is_new_after_a_restart},
      {"RESTART-02", core, disruptive, daemon_serves_after_a_restart},
      {"RESTART-03", full, disruptive, leases_do_not_outlive_a_restart},
      {"RESTART-04", full, disruptive, unlinked_segment_does_not_come_back},
      {"RESTART-05", full, disruptive, daemon_serves_from_the_orphan},
      {"RESTART-06", core, disruptive, objects_do_not_outlive_a_restart},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
