// SPDX-License-Identifier: Apache-2.0
// What a Shard-Meta header says of a shard's bytes, and whether they fit it (protocol,
// "Checkpoints").
//
//   Shard-Meta: {"checksum": "BASE64", "algorithm": "xxh3_128"}
//
// The checksum is the base64 of the digest in canonical (big-endian) order, as python3-xxhash's
// xxh3_128(...).digest() gives it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hyperpod::emulator::checkpoint {

/// The checksum that a header announces; nullopt where the header is not such JSON or names another
/// algorithm, so that there is nothing to be checked.
std::optional<std::string> announced_checksum(std::string_view header);

/// XXH3 with 128 bits over bytes that come piece by piece. Used by one thread at a time.
class Checksum {
 public:
  Checksum();
  void add(std::span<const std::byte> bytes);
  /// The base64 of the digest of all bytes so far: 24 characters.
  std::string base64() const;

 private:
  struct Free {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace hyperpod::emulator::checkpoint
