// SPDX-License-Identifier: Apache-2.0
// Bytes received and not yet consumed, in one run of memory that grows up to a limit.
#pragma once

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cstring>
#include <string_view>
#include <vector>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::http {

class InputBuffer {
 public:
  explicit InputBuffer(std::size_t limit) : limit_(limit) {}

  std::string_view view() const { return {bytes_.data() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  bool full() const { return end_ - begin_ == limit_; }

  /// The most that it can hold. It takes no memory before something is to be added.
  std::size_t limit() const { return limit_; }
  /// Room for at least `wanted` bytes, or for what is left of the limit. Ends the validity of
  /// earlier views.
  boost::asio::mutable_buffer prepare(std::size_t wanted = 1) {
    if (begin_ > 0) {
      std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (bytes_.size() - end_ < wanted) {
      bytes_.resize(std::min(limit_, std::max({first_size, 2 * end_, end_ + wanted})));
    }
    return boost::asio::buffer(bytes_.data() + end_, bytes_.size() - end_);
  }
  /// Says that `count` bytes were written to what prepare gave.
  void commit(std::size_t count) { end_ += count; }
  /// Adds bytes that were received elsewhere. REQUIRES room for them.
  void append(std::string_view bytes) {
    const auto room = prepare(bytes.size());
    HYPERPOD_REQUIRE(bytes.size() <= room.size());
    std::memcpy(room.data(), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  /// Drops `count` bytes from the front; views stay valid until prepare.
  void consume(std::size_t count) { begin_ += count; }

 private:
  static constexpr std::size_t first_size = 2048;  // enough for most heads

  const std::size_t limit_;
  std::vector<char> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace hyperpod::emulator::http
