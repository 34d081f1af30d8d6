// Reads the body of a granted lease (protocol section 4): `{"id": STRING, "offsets": [{"offset": N,
// "len": N}, …]}`, with further members ignored. The body is not trusted: whatever is not exactly
// that is refused, and even then the id is told where one can be made out, for a lease that is
// refused must be released all the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace hyperpod::client {

/// Part of an object in the segment. REQUIRES of a parsed one: length > 0, offset + length does
/// not overflow.
struct FragmentRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  friend bool operator==(const FragmentRange&, const FragmentRange&) = default;
};

struct LeaseAnswer {
  std::string id;
  std::vector<FragmentRange> fragments;  // at least one
  std::uint64_t size = 0;                // of all fragments together
};

struct UnusableLease {
  std::string reason;  // half a sentence, to stand behind "the lease answer "
  std::string id;      // empty if none could be made out
};

/// `content_type` may carry parameters; anything but application/json makes the answer unusable.
tl::expected<LeaseAnswer, UnusableLease> parse_lease_answer(std::string_view content_type,
                                                            std::string_view body);

}  // namespace hyperpod::client
