// SPDX-License-Identifier: Apache-2.0
// The Shard-Meta header, which tells the checksum of a shard (protocol, "Checkpoints"):
//
//   {"checksum": "BASE64", "algorithm": "xxh3_128"}
//
// The checksum is the digest in canonical (big-endian) order.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hyperpod::client::checkpoint {

/// XXH3 with 128 bits over bytes that come piece by piece. Used by one thread at a time.
class Checksum {
 public:
  Checksum();  ///< Throws std::bad_alloc.
  void reset();
  void add(std::span<const std::byte> bytes);
  /// The base64 of the digest of all bytes so far.
  std::string base64() const;

 private:
  struct Free {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Free> state_;
};

/// The header's value for a checksum.
std::string shard_meta(std::string_view checksum);

/// The checksum that a header's value tells; nullopt if it is not such JSON or names another
/// algorithm.
std::optional<std::string> checksum_in(std::string_view shard_meta);

}  // namespace hyperpod::client::checkpoint
