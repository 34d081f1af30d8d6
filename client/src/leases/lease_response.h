// SPDX-License-Identifier: Apache-2.0
// Reads the body of a granted lease (LEASE-02): `{"id": STRING, "offsets": [{"offset": N,
// "len": N}, …]}`, with further members ignored. The body is not trusted: whatever is not exactly
// that is refused, and even then the id is told where one can be made out, for a lease that is
// refused must be released all the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "memory/fragment.h"

namespace hyperpod::client::leases {

struct LeaseResponse {
  std::string id;
  std::vector<memory::FragmentRange> fragments;  // at least one
  std::uint64_t size = 0;                        // of all fragments together
};

struct UnusableLease {
  std::string reason;  // half a sentence, to stand behind "the lease response "
  std::string id;      // empty if none could be made out
};

/// `content_type` may carry parameters; anything but application/json makes the response unusable.
tl::expected<LeaseResponse, UnusableLease> parse_lease_response(std::string_view content_type,
                                                                std::string_view body);

}  // namespace hyperpod::client::leases
