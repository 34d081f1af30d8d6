// SPDX-License-Identifier: Apache-2.0
#include "memory/copy_threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

namespace hyperpod::client::memory {
namespace {

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 2654435761u >> 24);
  return bytes;
}

TEST(CopyThreads, CopyEveryByteWhateverTheSize) {
  CopyThreads threads(3);
  constexpr std::size_t mebibyte = 1 << 20;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, 2 * mebibyte - 1, 2 * mebibyte,
                                 2 * mebibyte + 1, 7 * mebibyte + 12345}) {
    const auto from = numbered(size);
    std::vector<std::byte> to(size + 1, std::byte{0xee});
    memory::copy(std::span(to).first(size), from, &threads);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin())) << size;
    EXPECT_EQ(to.back(), std::byte{0xee}) << size;
  }
}

TEST(CopyThreads, ServeSeveralCallersAtOnce) {
  CopyThreads threads(2);
  const auto from = numbered(5 << 20);
  std::vector<std::thread> callers;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      std::vector<std::byte> to(from.size());
      for (int round = 0; round < 5; ++round) {
        std::ranges::fill(to, std::byte{0});
        memory::copy(to, from, &threads);
        right += to == from;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(right, 20);
}

TEST(CopyThreads, DoEachPartOnceAndBeforeTheCallReturns) {
  CopyThreads threads(3);
  for (int round = 0; round < 100; ++round) {
    std::array<std::atomic<int>, 40> done{};
    threads.for_each(done.size(), [&](std::size_t i) { ++done[i]; });
    for (const auto& count : done) EXPECT_EQ(count, 1);
  }
  threads.for_each(0, [](std::size_t) { FAIL() << "there is nothing to do"; });
}

// Else one caller would wait for what another gives its threads to do.
TEST(CopyThreads, AreNotWaitedForWhileTheyDoSomethingElse) {
  CopyThreads threads(1);
  std::binary_semaphore may_end(0);
  Task busy = [&] { may_end.acquire(); };
  ASSERT_TRUE(threads.post(busy));
  std::atomic<int> done{0};
  threads.for_each(5, [&](std::size_t) { ++done; });
  EXPECT_EQ(done, 5);
  may_end.release();
}

TEST(CopyThreads, MayBeLetGoOfByOneOfThem) {
  auto threads = std::make_shared<CopyThreads>(1);
  std::binary_semaphore handed_over(0);
  std::binary_semaphore gone(0);
  CopyThreads& all = *threads;
  Task last = [threads = std::move(threads), &handed_over, &gone]() mutable {
    handed_over.acquire();
    threads.reset();
    gone.release();
  };
  ASSERT_TRUE(all.post(last));
  handed_over.release();
  gone.acquire();
}

}  // namespace
}  // namespace hyperpod::client::memory
