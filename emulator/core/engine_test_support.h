// SPDX-License-Identifier: Apache-2.0
// What the engine's tests share: an engine on memory of its own, under a clock moved by hand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "hyperpod/emulator/clock.h"

namespace hyperpod::emulator::core {

/// Bytes of a block in these tests: more than worst_case's 13 bytes and small enough to count.
constexpr std::uint64_t block = 64;

inline Options options_of(std::uint64_t blocks, Placement placement = Placement::contiguous) {
  Options options;
  options.capacity = blocks * block;
  options.block_size = block;
  options.placement = placement;
  return options;
}

/// Writes `bytes` as far as the room goes. Returns how many it took.
inline std::size_t write(Reservation& put, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto window = put.window();
    if (window.empty()) break;
    const auto count = std::min(window.size(), bytes.size() - done);
    std::memcpy(window.data(), bytes.data() + done, count);
    put.filled(count);
    done += count;
  }
  return done;
}

/// Writes `bytes`, extending as they come. False if an extension was refused.
inline bool write_growing(Reservation& put, std::string_view bytes) {
  while (true) {
    bytes.remove_prefix(write(put, bytes));
    if (bytes.empty()) return true;
    if (!put.extend()) return false;
  }
}

inline std::string read(std::span<const std::byte> memory, const Fragments& fragments) {
  std::string bytes;
  for (const Fragment& fragment : fragments) {
    const auto part = memory.subspan(fragment.offset, fragment.length);
    for (const std::byte byte : part) bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

/// Memory of which only so many blocks can be backed.
class TestMemory final : public Memory {
 public:
  explicit TestMemory(std::uint64_t size) : bytes_(size), backed_(size / block) {}

  std::span<std::byte> bytes() const override { return bytes_; }

  bool is_backed() const override { return false; }

  bool back(std::uint64_t offset, std::uint64_t length) override {
    std::lock_guard lock(mutex_);
    const auto first = backed_.begin() + static_cast<std::ptrdiff_t>(offset / block);
    const auto end = first + static_cast<std::ptrdiff_t>(length / block);
    const auto wanted = static_cast<std::uint64_t>(std::count(first, end, false));
    if (wanted > room) return false;
    room -= wanted;
    std::fill(first, end, true);
    return true;
  }

  bool is_backed(const Fragment& fragment) const {
    const auto first = backed_.begin() + static_cast<std::ptrdiff_t>(fragment.offset / block);
    const auto end = backed_.begin() + static_cast<std::ptrdiff_t>(
                                           (fragment.offset + fragment.length + block - 1) / block);
    return std::find(first, end, false) == end;
  }

  std::uint64_t room = std::numeric_limits<std::uint64_t>::max();  ///< In blocks.

 private:
  mutable std::vector<std::byte> bytes_;
  std::mutex mutex_;
  std::vector<bool> backed_;
};

/// An engine whose timers fire as `clock` is advanced.
class TestEngine final : public Ticker {
 public:
  explicit TestEngine(const Options& options = options_of(16))
      : blocks(std::make_shared<TestMemory>(options.capacity)), engine(options, blocks, clock) {
    clock.attach(*this);
  }
  ~TestEngine() override { clock.detach(*this); }
  TestEngine(const TestEngine&) = delete;
  TestEngine& operator=(const TestEngine&) = delete;

  std::optional<TimePoint> next_due() const override { return engine.next_due(); }
  void run_due(TimePoint /*now*/) override { engine.run_due(); }

  /// Stores `bytes` as one PUT of announced length would.
  tl::expected<PutOutcome, PutRefusal> store(std::string_view bucket, std::string_view key,
                                             std::string_view bytes) {
    auto put = engine.begin_put(bucket, key, bytes.size());
    if (!put) return tl::make_unexpected(put.error());
    write(**put, bytes);
    return (*put)->commit();
  }

  std::string content(const LeaseGrant& grant) const { return read(memory, grant.fragments()); }

  ManualClock clock;
  const std::shared_ptr<TestMemory> blocks;
  const std::span<std::byte> memory = blocks->bytes();
  Engine engine;
};

}  // namespace hyperpod::emulator::core
