// SPDX-License-Identifier: Apache-2.0
// The bytes that docs/drivers.md says a client stores and reads, made by the suite itself.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hyperpod::conformance::client {

/// The payload of `size` bytes from `seed`.
std::string payload(std::uint64_t seed, std::uint64_t size);

/// LMCache's 28-byte header of a chunk whose payload has `size` bytes, an even number.
std::string chunk_header(std::uint64_t size);

/// In lower-case hexadecimal.
std::string sha256_hex(std::string_view bytes);

}  // namespace hyperpod::conformance::client
