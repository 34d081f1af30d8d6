// SPDX-License-Identifier: Apache-2.0
// The bytes that objects lie in, as the engine sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hyperpod::emulator::core {

/// Not thread-safe: the engine calls back() under its lock.
class Memory {
 public:
  virtual ~Memory() = default;

  virtual std::span<std::byte> bytes() const = 0;

  /// Sees to it that these bytes can be written and read, now and later. False if the system has no
  /// room for them.
  virtual bool back(std::uint64_t offset, std::uint64_t length) = 0;
};

}  // namespace hyperpod::emulator::core
