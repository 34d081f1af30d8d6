#include "daemon/pressure.h"

#include <algorithm>

namespace hyperpod::conformance {
namespace {

// An eighth of the cache is sent as one piece many times over.
constexpr std::size_t piece_size = 1 << 20;

}  // namespace

Pressure::Pressure(Check& check)
    : check_(check),
      session_(check.connect()),
      size_(check.capacity() / 8),
      piece_(check.bytes(std::min<std::uint64_t>(piece_size, size_))) {}

Answer Pressure::store(const Name& name) {
  session_.send_raw("PUT " + name.target() + " HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                    std::to_string(size_) + "\r\n\r\n");
  bool open = true;
  for (std::uint64_t left = size_; left > 0 && open;) {
    const auto size = std::min<std::uint64_t>(left, piece_.size());
    open = session_.try_send_raw(std::string_view(piece_).substr(0, size));
    left -= size;
  }
  const auto answer = session_.answer_or_close(check_.span(std::chrono::seconds(30)));
  if (!answer) throw Violation{"an answer to a PUT of " + std::to_string(size_) + " bytes", "none"};
  if (!open || answer->status != 200) session_ = check_.connect();
  return *answer;
}

int Pressure::pin(int count, std::chrono::milliseconds ttl) {
  int fitted = 0;
  for (; fitted < count; ++fitted) {
    const Name name = check_.fresh_name();
    if (store(name).status / 100 != 2) break;
    const Answer granted = session_.acquire(name, {.ttl = ttl});
    if (granted.status / 100 != 2) break;
    grants_.push_back(check_.grant_in(granted));
  }
  return fitted;
}

Answer Pressure::pin_until_refused() {
  while (grants_.size() <= 8) {
    const Name name = check_.fresh_name();
    Answer stored = store(name);
    if (stored.status / 100 != 2) return stored;
    grants_.push_back(check_.lease(session_, name, {.ttl = std::chrono::seconds(60)}));
  }
  throw Violation{"no room for a ninth leased object of an eighth of the cache", "it was stored"};
}

void Pressure::release_all() {
  for (const Grant& grant : grants_) check_.release(session_, grant);
  grants_.clear();
}

}  // namespace hyperpod::conformance
