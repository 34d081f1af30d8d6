// SPDX-License-Identifier: Apache-2.0
#include "http/chunk_decoder.h"

#include "text/percent.h"

namespace hyperpod::emulator::http {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; }

}  // namespace

ChunkDecoder::Event ChunkDecoder::next(std::string_view& input) {
  if (state_ == State::data && data_left_ == 0) state_ = State::data_cr;
  while (true) {
    if (state_ == State::data) return Event::data;
    if (state_ == State::end) return Event::end;
    if (state_ == State::malformed) return Event::malformed;
    if (input.empty()) return Event::need_more;
    state_ = step(input.front());
    input.remove_prefix(1);
  }
}

ChunkDecoder::State ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_start:
    case State::size: {
      if (const int digit = text::hex_digit(c); digit >= 0) {
        if (++size_digits_ > max_size_digits) return State::malformed;
        data_left_ = data_left_ << 4 | static_cast<std::uint64_t>(digit);
        return State::size;
      }
      if (state_ == State::size_start) return State::malformed;
      if (c == ' ' || c == '\t') return State::before_extension;
      if (c == ';') return State::extension;
      return c == '\r' ? State::size_lf : State::malformed;
    }
    // RFC 9112, 7.1.1, has white space here, and nowhere else than in front of an extension.
    case State::before_extension:
      if (c == ';') return State::extension;
      if ((c != ' ' && c != '\t') || ++ignored_ > max_ignored_bytes) return State::malformed;
      return State::before_extension;
    case State::extension:
      if (c == '\r') return State::size_lf;
      if (is_control(c) || ++ignored_ > max_ignored_bytes) return State::malformed;
      return State::extension;
    case State::size_lf:
      if (c != '\n') return State::malformed;
      size_digits_ = 0;
      return data_left_ > 0 ? State::data : State::trailer_start;
    case State::data_cr:
      return c == '\r' ? State::data_lf : State::malformed;
    case State::data_lf:
      return c == '\n' ? State::size_start : State::malformed;
    case State::trailer_start:
      if (c == '\r') return State::end_lf;
      [[fallthrough]];
    case State::trailer:
      if (c == '\r') return State::trailer_lf;
      if (is_control(c) || ++ignored_ > max_ignored_bytes) return State::malformed;
      return State::trailer;
    case State::trailer_lf:
      return c == '\n' ? State::trailer_start : State::malformed;
    case State::end_lf:
      return c == '\n' ? State::end : State::malformed;
    case State::data:
    case State::end:
    case State::malformed:
      break;
  }
  return State::malformed;
}

}  // namespace hyperpod::emulator::http
