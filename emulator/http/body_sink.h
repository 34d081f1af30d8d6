// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a request's body go: into room in the segment, or nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "checkpoint/shard_meta.h"
#include "core/engine.h"

namespace hyperpod::emulator::http {

/// Used by one thread at a time.
class BodySink {
 public:
  /// Without `room` the body is discarded into `scratch`. `checksum`, if given, sees every byte
  /// that goes into the room.
  BodySink(core::Reservation* room, std::span<std::byte> scratch,
           checkpoint::Checksum* checksum = nullptr)
      : room_(room), scratch_(scratch), checksum_(checksum) {}

  /// Where the next bytes are to be written; never empty. Once no more room is to be had, what
  /// follows is discarded.
  std::span<std::byte> window() {
    if (room_ == nullptr) return scratch_;
    if (const auto window = room_->window(); !window.empty()) return window;
    const auto more = room_->extend();
    if (more) return room_->window();
    refusal_ = more.error();
    room_ = nullptr;
    return scratch_;
  }

  /// Says that the first `count` bytes of window() have been written.
  void filled(std::size_t count) {
    if (room_ == nullptr) {
      discarded_ += count;
      return;
    }
    if (checksum_ != nullptr && count > 0) checksum_->add(room_->window().first(count));
    room_->filled(count);
  }

  std::uint64_t discarded() const { return discarded_; }
  /// Why the room ended before the body.
  std::optional<core::PutRefusal> refusal() const { return refusal_; }

 private:
  core::Reservation* room_;
  const std::span<std::byte> scratch_;
  checkpoint::Checksum* const checksum_;
  std::uint64_t discarded_ = 0;
  std::optional<core::PutRefusal> refusal_;
};

}  // namespace hyperpod::emulator::http
