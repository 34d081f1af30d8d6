// SPDX-License-Identifier: Apache-2.0
#include "transport/placement.h"

namespace hyperpod::client::transport {
namespace {

std::uint64_t fnv1a(std::uint64_t hash, std::string_view text) {
  for (char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

}  // namespace

std::uint64_t placement_score(std::string_view authority, std::string_view key) {
  std::uint64_t x = fnv1a(0xcbf29ce484222325, authority);
  x = fnv1a(x, std::string_view("\0", 1));
  x = fnv1a(x, key);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::size_t place(const std::vector<std::string>& authorities, std::string_view key) {
  if (authorities.size() == 1) return 0;
  std::size_t best = 0;
  std::uint64_t best_score = 0;
  for (std::size_t i = 0; i < authorities.size(); ++i) {
    const std::uint64_t score = placement_score(authorities[i], key);
    if (i == 0 || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

}  // namespace hyperpod::client::transport
