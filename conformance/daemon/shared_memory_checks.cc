// SPDX-License-Identifier: Apache-2.0
// The segment as the machine shows it, and what a lease says of it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "daemon/chapters.h"
#include "daemon/pressure.h"

namespace hyperpod::conformance::daemon {
namespace {

SegmentFacts look(const Check& check) {
  auto facts = look_at_segment(check.target().shm_name);
  if (!facts) throw Violation{"the segment under its name", facts.error().message};
  return *facts;
}

void segment_is_as_large_as_the_cache(Check& check) {
  const SegmentFacts facts = look(check);
  check.figure("segment size", std::to_string(facts.size) + " bytes");
  check.expect(facts.size > 0, "a segment that is not empty", "0 bytes");
  if (check.target().capacity == 0)
    check.skip("it exists; give --capacity to have its size compared");
  // As it is now, and as it was before the other checks.
  for (const std::uint64_t size : {check.segment().facts().size, facts.size}) {
    check.expect(size == check.target().capacity,
                 std::to_string(check.target().capacity) + " bytes from the first to the last",
                 std::to_string(size) + " bytes");
  }
}

void segment_is_its_owners_alone(Check& check) {
  const SegmentFacts facts = look(check);
  check.figure("segment owner", "uid " + std::to_string(facts.owner));
  // As it was before the other checks, and as it is now.
  for (const auto mode : {check.segment().facts().mode, facts.mode}) {
    std::array<char, 32> seen;
    std::snprintf(seen.data(), seen.size(), "mode %04o", mode);
    check.expect(mode == 0600, "mode 0600 from the first to the last", seen.data());
  }
}

void offsets_lead_to_the_bytes(Check& check) {
  Session session = check.connect();
  std::vector<std::pair<Grant, std::string>> objects;
  for (const std::size_t size : {28u, 100'000u, 3'000'000u}) {
    const Name name = check.fresh_name();
    std::string body = check.bytes(size);
    check.store(session, name, body);
    objects.emplace_back(check.lease(session, name), std::move(body));
  }
  std::size_t most = 0;
  for (const auto& [grant, body] : objects) {
    check.expect_bytes(grant, body, "an object of " + std::to_string(body.size()) + " bytes");
    most = std::max(most, grant.fragments.size());
  }
  check.figure("fragments of an object of 3,000,000 bytes", std::to_string(most));
  for (const auto& [grant, body] : objects) check.release(session, grant);
  // The same wherever in the segment an object lies.
  if (check.target().capacity == 0 || check.profile() == Profile::core) return;
  Pressure pressure(check);
  (void)pressure.pin(6);
  pressure.expect_pinned_bytes("six eighths of the cache being leased");
  pressure.release_all();
}

void bytes_are_there_when_the_grant_is(Check& check) {
  Session storing = check.connect();
  Session leasing = check.connect();
  for (int i = 0; i < 24; ++i) {
    const Name name = check.fresh_name();
    // Some beyond a megabyte, whose end a daemon may still be writing.
    const std::string body = check.bytes(i % 8 == 7 ? 1'300'000 : 70'000);
    const bool wait = i % 2 == 0;
    if (wait)
      leasing.send(acquire_request(name, {.hold = check.span(std::chrono::milliseconds(300))}));
    check.store(storing, name, body);
    std::optional<Response> response;
    if (wait) response = leasing.response();
    // Whether a request that waits is woken is HOLD-04's to judge.
    if (!response || is_miss(*response)) response = leasing.acquire(name);
    check.expect_present(*response, "a lease on a key that was stored");
    check.expect(response->status / 100 == 2, "a lease on a key that was stored",
                 described(*response));
    const Grant grant = check.grant_in(*response);
    check.expect_bytes(grant, body, "an object leased as it was stored");
    check.release(leasing, grant);
  }
}

void mapping_leaves_the_segment_alone(Check& check) {
  const SegmentFacts before = look(check);
  for (int i = 0; i < 20; ++i) {
    const auto segment = Segment::open(check.target().shm_name);
    if (!segment)
      throw Violation{"a segment that can be mapped again and again", segment.error().message};
  }
  check.expect_alive();
  check.expect(look(check) == before, "the same inode, size, mode and owner as before", "another");
  check.expect(before.inode == check.segment().facts().inode, "the segment mapped at the beginning",
               "another segment under its name");
}

}  // namespace

std::span<const CheckEntry> shared_memory_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"SHM-01", core, late, segment_is_as_large_as_the_cache},
      {"SHM-02", core, late, segment_is_its_owners_alone},
      {"SHM-03", core, exclusive, offsets_lead_to_the_bytes},
      {"SHM-04", core, serial, bytes_are_there_when_the_grant_is},
      {"SHM-05", core, late, mapping_leaves_the_segment_alone},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
