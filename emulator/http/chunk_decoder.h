// SPDX-License-Identifier: Apache-2.0
// The framing of the chunked transfer coding (RFC 9112, 7.1), apart from the data it frames, so
// that chunk data can be received straight to where it belongs.
#pragma once

#include <cstdint>
#include <string_view>

namespace hyperpod::emulator::http {

class ChunkDecoder {
 public:
  enum class Event {
    need_more,  ///< All of the input was framing; call again with more.
    data,       ///< data_left() bytes of data come next.
    end,        ///< The body is complete.
    malformed,  ///< Final.
  };

  /// Consumes framing from the front of `input`, up to the next data or the end.
  Event next(std::string_view& input);

  /// Bytes of the current chunk still to come.
  std::uint64_t data_left() const { return data_left_; }
  /// Says that `count` of them, at most data_left(), were taken.
  void data_taken(std::uint64_t count) { data_left_ -= count; }

 private:
  enum class State {
    size_start,
    size,
    before_extension,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    end_lf,
    end,
    malformed
  };
  // Zeros in front count too: a size that never ends is not a size.
  static constexpr std::uint32_t max_size_digits = 16;
  // Extensions and trailers are read past; more than this of either is an attack.
  static constexpr std::uint32_t max_ignored_bytes = 8 * 1024;

  State step(char c);

  State state_ = State::size_start;
  std::uint64_t data_left_ = 0;
  std::uint32_t size_digits_ = 0;
  std::uint32_t ignored_ = 0;
};

}  // namespace hyperpod::emulator::http
