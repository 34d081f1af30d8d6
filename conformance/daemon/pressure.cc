// SPDX-License-Identifier: Apache-2.0
#include "daemon/pressure.h"

#include <algorithm>
#include <utility>

namespace hyperpod::conformance::daemon {
namespace {

// An eighth of the cache is sent as one piece many times over.
constexpr std::size_t piece_size = 1 << 20;
// More than fit, for some of them may find no room.
constexpr int eighths_to_refill = 10;
constexpr std::size_t stamp_size = 16;
// Blocks are seldom smaller, so that the first bytes of each that was used anew tell it.
constexpr std::size_t stamped_every = 4096;

/// Of a large cache a larger part, so that refill() ends.
std::uint64_t held_size(std::uint64_t capacity) {
  const auto size = std::max(std::min<std::uint64_t>(capacity / 200, 300'000), capacity / 8192);
  return std::clamp<std::uint64_t>(size, 64, 8 << 20);
}

/// Marks the piece, whose bytes are the same for each name, as part of one name's body.
void put_stamps(std::string& piece, std::string_view stamp) {
  for (std::size_t at = 0; at + stamp.size() < piece.size(); at += stamped_every)
    std::ranges::copy(stamp, piece.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

Pressure::Pressure(Check& check)
    : check_(check),
      session_(check.connect()),
      size_(check.capacity() / 8),
      piece_(check.bytes(std::min<std::uint64_t>(piece_size, size_))) {}

std::string Pressure::stamp_of(const Name& name) {
  const std::size_t hash = std::hash<std::string>()(name.target());
  std::string stamp = std::to_string(hash);
  stamp.resize(stamp_size, '.');
  return stamp;
}

Response Pressure::store(const Name& name, std::uint64_t size) {
  auto response = try_to_store(name, size);
  if (!response) {
    // A daemon may close a connection behind any response.
    session_ = check_.connect();
    response = try_to_store(name, size);
  }
  if (!response)
    throw Violation{"a response to a PUT of " + std::to_string(size) + " bytes", "none"};
  if (response->status != 200) session_ = check_.connect();
  return *response;
}

void Pressure::store_around(const std::function<void()>& meanwhile) {
  (void)try_to_store(check_.fresh_name(), size_, meanwhile);
  session_ = check_.connect();
}

std::optional<Response> Pressure::try_to_store(const Name& name, std::uint64_t body_size,
                                               std::function<void()> half_way) {
  const TimePoint begun = now();
  put_stamps(piece_, stamp_of(name));
  bool open = session_.try_send_raw(session_.head_of(
      {"PUT", name.target(), {{"Content-Length", std::to_string(body_size)}}, {}}));
  for (std::uint64_t left = body_size; left > 0 && open;) {
    if (half_way && left <= body_size / 2) std::exchange(half_way, {})();
    const auto size = std::min<std::uint64_t>(left, piece_.size());
    open = session_.try_send_raw(std::string_view(piece_).substr(0, size));
    left -= size;
  }
  auto response = session_.response_or_close(check_.span(std::chrono::seconds(30)));
  if (!open) session_ = check_.connect();
  if (body_size == size_) slowest_ = std::max<Duration>(slowest_, now() - begun);
  return response;
}

void Pressure::refill() {
  refilled_.clear();
  for (int i = 0; i < eighths_to_refill; ++i) {
    const Name name = check_.fresh_name();
    if (store(name).status == 200) refilled_.push_back(name);
  }
  store_small_ones();
}

void Pressure::store_small_ones() {
  // Where eighths give way to eighths, nearly an eighth of the old room may stay free. Objects so
  // small that none that is held could hide in what they leave take that too.
  const std::uint64_t small = held_size(check_.capacity()) / 2;
  for (std::uint64_t taken = 0; taken <= size_; taken += small)
    (void)store(check_.fresh_name(), small);
}

void Pressure::lease_what_is_there() {
  Session session = check_.connect();
  for (const Name& name : refilled_) (void)lease(session, name, long_ttl());
}

std::chrono::milliseconds Pressure::long_ttl() const {
  constexpr int eighths = 100;
  return std::max<std::chrono::milliseconds>(
      check_.span(std::chrono::seconds(60)),
      std::chrono::ceil<std::chrono::milliseconds>(eighths * slowest_));
}

bool Pressure::lease(Session& session, const Name& name, std::chrono::milliseconds ttl) {
  const TimePoint asked = now();
  const Response granted = session.acquire(name, {.ttl = ttl});
  if (granted.status / 100 != 2) return false;
  pinned_.push_back({check_.grant_in(granted), stamp_of(name), asked + ttl});
  return true;
}

int Pressure::pin_by(Way way, int count, std::chrono::milliseconds ttl) {
  int fitted = 0;
  while (fitted < count && pin_one(way, check_.fresh_name(), ttl)) ++fitted;
  return fitted;
}

bool Pressure::pin_one(Way way, const Name& name, std::chrono::milliseconds ttl) {
  Session other = check_.connect();
  const TimePoint asked = now();
  const auto hold = check_.span(std::chrono::milliseconds(1500));
  if (way == Way::waiting) {
    other.send(acquire_request(name, {.hold = hold, .ttl = ttl}));
    (void)other.silent_for(std::chrono::milliseconds(50));
  }
  const bool stored = store(name).status / 100 == 2;
  // Whether it is woken is HOLD-04's to judge.
  if (way == Way::waiting) {
    const Response woken = other.response(hold + check_.span(std::chrono::seconds(8)));
    if (stored && woken.status / 100 == 2) {
      pinned_.push_back({check_.grant_in(woken), stamp_of(name), asked + ttl});
      return true;
    }
  }
  if (!stored) return false;
  if (!lease(way == Way::over_a_closed_connection ? other : session_, name, ttl)) return false;
  if (way == Way::twice) (void)lease(session_, name, ttl);
  return true;
}

std::pair<Name, Response> Pressure::pin_until_refused() {
  while (pinned_.size() <= 8) {
    const Name name = check_.fresh_name();
    Response stored = store(name);
    if (stored.status / 100 != 2) return {name, std::move(stored)};
    const TimePoint asked = now();
    const Grant grant = check_.lease(session_, name, {.ttl = long_ttl()});
    pinned_.push_back({grant, stamp_of(name), asked + long_ttl()});
  }
  throw Violation{"no room for a ninth leased object of an eighth of the cache", "it was stored",
                  Symptom::room};
}

void Pressure::expect_pinned_bytes(std::string_view when) const {
  for (const Pinned& pinned : pinned_) {
    if (now() >= pinned.until) check_.skip("filling the cache took longer than its leases live");
    expect_bytes_of(pinned, when);
  }
}

void Pressure::expect_own_bytes_or_none(std::string_view when) {
  std::vector<Pinned> others = std::exchange(pinned_, {});
  lease_what_is_there();
  expect_pinned_bytes(when);
  release_all();
  pinned_ = std::move(others);
}

void Pressure::expect_bytes_of(const Pinned& pinned, std::string_view when) const {
  std::string piece = piece_;
  put_stamps(piece, pinned.stamp);
  std::uint64_t at = 0;  // Within the object.
  for (const Fragment& fragment : pinned.grant.fragments) {
    for (std::uint64_t done = 0; done < fragment.len;) {
      const std::uint64_t in_piece = at % piece.size();
      const std::uint64_t rest = std::min(
          {fragment.len - done, piece.size() - in_piece, stamped_every - at % stamped_every});
      const Fragment beginning{fragment.offset + done, std::min<std::uint64_t>(rest, stamp_size)};
      const auto bytes = check_.segment().read({&beginning, 1});
      if (!bytes)
        throw Violation{"fragments inside the segment", bytes.error().message, Symptom::place};
      check_.expect(*bytes == std::string_view(piece).substr(in_piece, bytes->size()),
                    "the bytes of a leased object, " + std::string(when),
                    "other bytes at offset " + std::to_string(beginning.offset), Symptom::bytes);
      done += rest;
      at += rest;
    }
  }
}

void Pressure::release_all() {
  for (const Pinned& pinned : pinned_) check_.release(session_, pinned.grant);
  pinned_.clear();
}

std::pair<Name, std::string> HeldObjects::make() {
  constexpr std::uint64_t if_unknown = 1 << 30;
  const std::uint64_t capacity = check_.target().capacity;
  return make(held_size(capacity == 0 ? if_unknown : capacity));
}

std::pair<Name, std::string> HeldObjects::make(std::size_t size) {
  return {check_.fresh_name(), check_.bytes(size)};
}

void HeldObjects::add(Grant grant, std::string body, std::string how) {
  held_.push_back({std::move(grant), std::move(body), std::move(how)});
}

void HeldObjects::expect_intact(std::string_view when) const {
  if (now() >= until_) check_.skip("filling the cache took longer than its leases live");
  for (const Held& held : held_) {
    check_.expect_bytes(held.grant, held.body,
                        "an object leased " + held.how + ", " + std::string(when));
  }
}

void HeldObjects::release_all(Session& session) {
  for (const Held& held : held_) check_.release(session, held.grant);
  held_.clear();
}

}  // namespace hyperpod::conformance::daemon
