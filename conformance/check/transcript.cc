// SPDX-License-Identifier: Apache-2.0
#include "check/transcript.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "hyperpod/base/text.h"

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

/// Whether no report may hold this character as it is.
bool is_unfit(char32_t point) {
  const bool control = (point < 0x20 && point != '\n') || (point >= 0x7F && point < 0xA0);
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
    const auto character = base::first_character(text);
    const std::string_view sequence = text.substr(0, character ? character->size : 1);
    if (text.starts_with("\r\n")) {
      text.remove_prefix(1);
      continue;
    }
    if (character && !is_unfit(character->code)) {
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
    Event& oldest = events_[first_events_kept];
    if (oldest.kind == Event::Kind::sent) left_out_[oldest.connection] = std::move(oldest);
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
  const Event* request = request_of_last();
  if (request == nullptr) return events_;
  std::vector<Event> events = events_;
  events.insert(events.begin() + first_events_kept, *request);
  return events;
}

std::optional<Unanswered> Transcript::unanswered() const {
  const std::lock_guard lock(mutex_);
  std::map<int, const Event*> sent;  // By connection.
  std::set<int> broken;
  for (const Event& event : events_) {
    if (event.kind == Event::Kind::received) {
      sent.erase(event.connection);
    } else if (event.kind == Event::Kind::trouble) {
      broken.insert(event.connection);
    } else if (!broken.contains(event.connection)) {
      sent[event.connection] = &event;
    }
  }
  const Event* latest = nullptr;
  for (const auto& [connection, event] : sent)
    if (latest == nullptr || event->at > latest->at) latest = event;
  if (latest == nullptr) return std::nullopt;
  return Unanswered{begun_ + latest->at, latest->head};
}

std::optional<TimePoint> Transcript::answered() const {
  const std::lock_guard lock(mutex_);
  const auto latest =
      std::ranges::find(events_.rbegin(), events_.rend(), Event::Kind::received, &Event::kind);
  return latest == events_.rend() ? std::nullopt : std::optional(begun_ + latest->at);
}

const Event* Transcript::request_of_last() const {
  if (events_.empty() || events_.back().kind == Event::Kind::sent) return nullptr;
  const int connection = events_.back().connection;
  const auto is_sent = [&](const Event& event) {
    return event.connection == connection && event.kind == Event::Kind::sent;
  };
  // Of those that were kept, the first ones are older than what was left out.
  if (std::ranges::any_of(events_.begin() + static_cast<std::ptrdiff_t>(
                                                std::min(first_events_kept, events_.size())),
                          events_.end(), is_sent))
    return nullptr;
  const auto found = left_out_.find(connection);
  return found == left_out_.end() ? nullptr : &found->second;
}

std::uint64_t Transcript::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_ - (request_of_last() == nullptr ? 0 : 1);
}

}  // namespace hyperpod::conformance::check
