// SPDX-License-Identifier: Apache-2.0
#include "daemon/pressure.h"

#include <algorithm>

namespace hyperpod::conformance::daemon {
namespace {

// An eighth of the cache is sent as one piece many times over.
constexpr std::size_t piece_size = 1 << 20;
// More than fit, for some of them may find no room.
constexpr int eighths_to_refill = 10;
constexpr std::uint64_t largest_held = 300'000;

}  // namespace

Pressure::Pressure(Check& check)
    : check_(check),
      session_(check.connect()),
      size_(check.capacity() / 8),
      piece_(check.bytes(std::min<std::uint64_t>(piece_size, size_))) {}

Response Pressure::store(const Name& name) {
  auto response = try_to_store(name);
  if (!response) {
    // A daemon may close a connection behind any response.
    session_ = check_.connect();
    response = try_to_store(name);
  }
  if (!response)
    throw Violation{"a response to a PUT of " + std::to_string(size_) + " bytes", "none"};
  if (response->status != 200) session_ = check_.connect();
  return *response;
}

std::optional<Response> Pressure::try_to_store(const Name& name) {
  bool open = session_.try_send_raw("PUT " + name.target() + " HTTP/1.1\r\nHost: x\r\n" +
                                    "Content-Length: " + std::to_string(size_) + "\r\n\r\n");
  for (std::uint64_t left = size_; left > 0 && open;) {
    const auto size = std::min<std::uint64_t>(left, piece_.size());
    open = session_.try_send_raw(std::string_view(piece_).substr(0, size));
    left -= size;
  }
  auto response = session_.response_or_close(check_.span(std::chrono::seconds(30)));
  if (!open) session_ = check_.connect();
  return response;
}

void Pressure::refill() {
  for (int i = 0; i < eighths_to_refill; ++i) (void)store();
}

int Pressure::pin(int count, std::chrono::milliseconds ttl) {
  int fitted = 0;
  for (; fitted < count; ++fitted) {
    const Name name = check_.fresh_name();
    if (store(name).status / 100 != 2) break;
    const Response granted = session_.acquire(name, {.ttl = ttl});
    if (granted.status / 100 != 2) break;
    grants_.push_back(check_.grant_in(granted));
  }
  return fitted;
}

Response Pressure::pin_until_refused() {
  while (grants_.size() <= 8) {
    const Name name = check_.fresh_name();
    Response stored = store(name);
    if (stored.status / 100 != 2) return stored;
    grants_.push_back(check_.lease(session_, name, {.ttl = std::chrono::seconds(60)}));
  }
  throw Violation{"no room for a ninth leased object of an eighth of the cache", "it was stored"};
}

void Pressure::expect_pinned_bytes(std::string_view when) const {
  for (const Grant& grant : grants_) {
    std::uint64_t at = 0;
    for (const Fragment& fragment : grant.fragments) {
      constexpr std::uint64_t looked_at = 4096;
      const std::uint64_t in_piece = at % piece_.size();
      const Fragment beginning{fragment.offset,
                               std::min({fragment.len, looked_at, piece_.size() - in_piece})};
      const auto bytes = check_.segment().read({&beginning, 1});
      if (!bytes) throw Violation{"fragments inside the segment", bytes.error().message};
      check_.expect(*bytes == std::string_view(piece_).substr(in_piece, bytes->size()),
                    "the bytes of a leased object, " + std::string(when),
                    "other bytes at offset " + std::to_string(fragment.offset));
      at += fragment.len;
    }
  }
}

void Pressure::release_all() {
  for (const Grant& grant : grants_) check_.release(session_, grant);
  grants_.clear();
}

std::pair<Name, std::string> HeldObjects::make() {
  const std::uint64_t capacity = check_.target().capacity;
  const std::uint64_t size =
      capacity == 0 ? largest_held : std::clamp<std::uint64_t>(capacity / 200, 64, largest_held);
  return {check_.fresh_name(), check_.bytes(size)};
}

void HeldObjects::add(Grant grant, std::string body, std::string how) {
  held_.push_back({std::move(grant), std::move(body), std::move(how)});
}

void HeldObjects::expect_intact(std::string_view when) const {
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
