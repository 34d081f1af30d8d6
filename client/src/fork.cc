// SPDX-License-Identifier: Apache-2.0
#include "fork.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

namespace hyperpod::client {
namespace {

std::atomic<std::uint32_t> generation{0};

struct Kept {
  std::shared_ptr<const void> object;
  Kept* next;
};
std::atomic<Kept*> kept{nullptr};  // reachable, so that leak checkers see that it is on purpose

}  // namespace

std::uint32_t fork_generation() noexcept {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return generation.load(std::memory_order_relaxed);
}

void keep_forever(std::shared_ptr<const void> object) noexcept {
  Kept* const entry = new (std::nothrow) Kept{nullptr, kept.load()};
  if (entry == nullptr) {  // it is kept all the same, where nobody sees it
    alignas(std::shared_ptr<const void>) std::array<std::byte, sizeof(object)> place;
    new (place.data()) std::shared_ptr<const void>(std::move(object));
    return;
  }
  entry->object = std::move(object);
  while (!kept.compare_exchange_weak(entry->next, entry)) {
  }
}

}  // namespace hyperpod::client
