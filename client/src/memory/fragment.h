// SPDX-License-Identifier: Apache-2.0
// Where a part of an object lies in the segment.
#pragma once

#include <cstdint>

namespace hyperpod::client::memory {

/// Of one that was read from a response: length > 0, and offset + length does not overflow.
struct FragmentRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  friend bool operator==(const FragmentRange&, const FragmentRange&) = default;
};

}  // namespace hyperpod::client::memory
