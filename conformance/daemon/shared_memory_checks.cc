// The segment as the machine shows it, and what a lease says of it.
#include <array>
#include <cstdio>

#include "daemon/chapters.h"

namespace hyperpod::conformance {
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
  check.expect(facts.size == check.target().capacity,
               std::to_string(check.target().capacity) + " bytes",
               std::to_string(facts.size) + " bytes");
}

void segment_is_its_owners_alone(Check& check) {
  const SegmentFacts facts = look(check);
  std::array<char, 32> seen;
  std::snprintf(seen.data(), seen.size(), "mode %04o", facts.mode);
  check.figure("segment owner", "uid " + std::to_string(facts.owner));
  check.expect(facts.mode == 0600, "mode 0600", seen.data());
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
}

void bytes_are_there_when_the_grant_is(Check& check) {
  Session storing = check.connect();
  Session leasing = check.connect();
  for (int i = 0; i < 50; ++i) {
    const Name name = check.fresh_name();
    const std::string body = check.bytes(70'000);
    leasing.send(acquire_request(name, {.hold = check.span(std::chrono::seconds(2))}));
    check.store(storing, name, body);
    const Answer answer = leasing.answer();
    check.expect(answer.status / 100 == 2, "a lease on a key that was stored", described(answer));
    const Grant grant = check.grant_in(answer);
    check.expect_bytes(grant, body, "an object leased while it was stored");
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
  using enum Company;
  static constexpr CheckEntry entries[]{
      {"SHM-01", core, quick, segment_is_as_large_as_the_cache},
      {"SHM-02", core, quick, segment_is_its_owners_alone},
      {"SHM-03", core, quick, offsets_lead_to_the_bytes},
      {"SHM-04", core, quick, bytes_are_there_when_the_grant_is},
      {"SHM-05", core, alone, mapping_leaves_the_segment_alone},
  };
  return entries;
}

}  // namespace hyperpod::conformance
