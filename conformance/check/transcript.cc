// SPDX-License-Identifier: Apache-2.0
#include "check/transcript.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace hyperpod::conformance::check {
namespace {

// Of a long check its beginning and its end are kept.
constexpr std::size_t first_events_kept = 8;
constexpr std::size_t events_kept = 24;
constexpr std::size_t text_kept = 2048;

std::string shortened(std::string_view text) {
  if (text.size() <= text_kept) return printable(text);
  return printable(text.substr(0, text_kept)) + "… (" + std::to_string(text.size()) + " bytes)";
}

/// The length of the UTF-8 sequence at the beginning of `text`; 0 if there is none that is well
/// formed.
std::size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(length > 1 ? text[1] : 0x80);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool beyond = (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90);
  return overlong || beyond ? 0 : length;
}

/// Whether a well-formed sequence stands for something that no report may hold as it is.
bool is_unfit(std::string_view sequence) {
  char32_t point = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return (point < 0x20 && point != '\n') || point == 0x7F;
  point &= 0x7Fu >> sequence.size();
  for (const char c : sequence.substr(1))
    point = point << 6 | (static_cast<unsigned char>(c) & 0x3F);
  const bool control = point < 0xA0;
  const bool direction =
      (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
  const bool noncharacter = (point & 0xFFFE) == 0xFFFE || (point >= 0xFDD0 && point <= 0xFDEF);
  return control || direction || noncharacter;
}

}  // namespace

bool is_text(std::string_view bytes) {
  return std::ranges::all_of(
      bytes, [](char c) { return c >= ' ' || c < 0 || c == '\n' || c == '\r' || c == '\t'; });
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    if (text.starts_with("\r\n")) {
      text.remove_prefix(1);
      continue;
    }
    if (length > 0 && !is_unfit(sequence)) {
      result.append(sequence);
    } else {
      for (const char c : sequence) {
        std::array<char, 8> escaped;
        std::snprintf(escaped.data(), escaped.size(), "\\x%02X", static_cast<unsigned char>(c));
        result.append(escaped.data());
      }
    }
    text.remove_prefix(sequence.size());
  }
  return result;
}

void Transcript::add(Event::Kind kind, int connection, std::string_view head,
                     std::string_view body) {
  const std::lock_guard lock(mutex_);
  if (events_.size() == events_kept) {
    events_.erase(events_.begin() + first_events_kept);
    ++dropped_;
  }
  const bool show = kind == Event::Kind::received && is_text(body.substr(0, text_kept));
  events_.push_back({kind, now() - begun_, connection, shortened(head), body.size(),
                     show ? shortened(body) : std::string()});
}

int Transcript::next_connection() {
  const std::lock_guard lock(mutex_);
  return ++connections_;
}

std::vector<Event> Transcript::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

std::uint64_t Transcript::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace hyperpod::conformance::check
