// SPDX-License-Identifier: Apache-2.0
// The bytes that drivers put and check (docs/drivers.md, "Bytes").
//
// Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hyperpod::driver {

/// The payload of a put of `size` bytes from `seed`.
std::vector<std::byte> payload(std::uint64_t seed, std::size_t size);

/// The SHA-256 of `bytes`, hexadecimal in lower case.
std::string sha256(std::span<const std::byte> bytes);

}  // namespace hyperpod::driver
