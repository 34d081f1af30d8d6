// SPDX-License-Identifier: Apache-2.0
// The bytes that objects lie in, as the engine sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hyperpod::emulator::core {

/// Every member may be called from any thread.
class Memory {
 public:
  virtual ~Memory() = default;

  virtual std::span<std::byte> bytes() const = 0;

  /// Whether all of it can be written and read without back().
  virtual bool is_backed() const = 0;

  /// Sees to it that these bytes can be written and read, now and later. False if the system has no
  /// room for them. May take long: the engine calls it without its lock.
  virtual bool back(std::uint64_t offset, std::uint64_t length) = 0;
};

}  // namespace hyperpod::emulator::core
