// SPDX-License-Identifier: Apache-2.0
// A client for whom memory runs out at any of its allocations: every call has its outcome, nothing
// ends the process, and once there is memory again all is as before.
//
// A program of its own, for it replaces what allocates.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <future>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hyperpod/client/client.h"
#include "testing/fake_daemon.h"

namespace {

// Of the threads that are watched, so many allocations succeed before one fails, or all do that
// follow; below zero none fails.
std::atomic<long> left{-1};
std::atomic<bool> all_fail{false};
std::atomic<int> failed{0};
thread_local bool is_watched = false;

bool fails() {
  if (!is_watched || left < 0) return false;
  if (left > 0) {
    --left;
    return false;
  }
  if (!all_fail) left = -1;
  ++failed;
  return true;
}

void* allocate(std::size_t size, std::size_t alignment) {
  void* memory = nullptr;
  if (fails()) return nullptr;
  return posix_memalign(&memory, std::max(alignment, sizeof(void*)),
                        std::max<std::size_t>(size, 1)) == 0
             ? memory
             : nullptr;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  if (void* const memory = allocate(size, alignment)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate_or_throw(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
  return operator new(size, tag);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
// What Asio allocates with.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return allocate(size, alignment);
}

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::bytes_of;
using testing::eventually;
using testing::FakeDaemon;
using testing::lease_body;
using testing::options_for;

constexpr std::string_view text = "an object of more bytes than any string keeps within itself";

enum class Where { caller, io_thread };

class NoMemoryTest : public ::testing::TestWithParam<Where> {
 protected:
  NoMemoryTest() {
    daemon_.segment().write(0, text);
    daemon_.grant("a-lease-with-a-name-of-many-letters", {{0, 30}, {30, text.size() - 30}});
    ClientOptions options = options_for(daemon_);
    options.timeout = 200ms;
    options.lease_wait_timeout = 100ms;
    client_.emplace(testing::make_client(options));
    if (GetParam() == Where::io_thread) {
      std::promise<void> marked;
      client_->async_exists(a_key, [&](const Result<bool>&) {
        is_watched = true;
        marked.set_value();
      });
      marked.get_future().wait();
    }
  }
  ~NoMemoryTest() override { left = -1; }

  // Has memory run out at each of the allocations of `call` in turn.
  void run_out_in_each(const std::function<void()>& call) {
    long count = 0;
    for (int before = -1; before != failed; ++count) {
      ASSERT_LT(count, 2000);
      before = failed;
      is_watched = GetParam() == Where::caller;
      left = count;
      call();
      is_watched = false;
      settle();
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(count, 1) << "nothing allocates";
  }

  // Nothing is left under way, and the next call succeeds.
  void settle() {
    ASSERT_TRUE(eventually([&] {
      const auto s = client_->statistics();
      return s.requests_in_flight == 0 && s.requests_queued == 0;
    }));
    left = -1;
    ASSERT_EQ(client_->put(a_key, bytes_of(text)), PutOutcome::stored);
  }

  static bool is_expected(const Error& error) {
    return error.code == ErrorCode::out_of_resources || error.code == ErrorCode::timed_out ||
           error.code == ErrorCode::unreachable || error.code == ErrorCode::cancelled;
  }
  template <class T>
  static void expect_outcome(const Result<T>& outcome) {
    EXPECT_TRUE(outcome || is_expected(outcome.error())) << outcome.error().message;
  }

  const std::string a_key = "a-key-of-more-letters-than-a-string-keeps-within-itself";
  FakeDaemon daemon_;
  std::optional<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Memory, NoMemoryTest, ::testing::Values(Where::caller, Where::io_thread),
                         [](const auto& tested) {
                           return tested.param == Where::caller ? "OfTheCaller" : "OfTheIoThread";
                         });

TEST_P(NoMemoryTest, Put) {
  run_out_in_each([&] { expect_outcome(client_->put(a_key, bytes_of(text))); });
}

// Which its caller sends.
TEST_P(NoMemoryTest, OfALargePut) {
  const std::string large(1 << 20, 'x');
  run_out_in_each([&] { expect_outcome(client_->put(a_key, bytes_of(large))); });
}

TEST_P(NoMemoryTest, PutThatIsRefused) {
  daemon_.on_put([](const auto&) { return answer(507); });
  long count = 0;
  for (int before = -1; before != failed && count < 500; ++count) {
    before = failed;
    is_watched = GetParam() == Where::caller;
    left = count;
    const auto put = client_->put(a_key, bytes_of(text));
    is_watched = false;
    ASSERT_FALSE(put);
    EXPECT_TRUE(put.error().code == ErrorCode::refused || is_expected(put.error()));
  }
}

TEST_P(NoMemoryTest, Get) {
  std::array<std::byte, 100> buffer;
  run_out_in_each([&] {
    const auto got = client_->get(a_key, buffer);
    is_watched = false;
    expect_outcome(got);
    if (got && got->is_hit()) {
      EXPECT_EQ(testing::text_of({buffer.data(), got->size}), text);
    }
  });
}

TEST_P(NoMemoryTest, GetOfAnyObject) {
  run_out_in_each([&] {
    const auto got = client_->get(a_key);
    is_watched = false;
    expect_outcome(got);
    if (got && got->is_hit()) {
      EXPECT_EQ(testing::text_of(got->bytes()), text);
    }
  });
}

TEST_P(NoMemoryTest, AcquireAndRelease) {
  run_out_in_each([&] {
    auto lease = client_->acquire(a_key);
    expect_outcome(lease);
    if (lease && *lease) expect_outcome((*lease)->release());
  });
}

TEST_P(NoMemoryTest, AcquireAndDrop) {
  run_out_in_each([&] { expect_outcome(client_->acquire(a_key)); });
}

TEST_P(NoMemoryTest, Exists) {
  run_out_in_each([&] { expect_outcome(client_->exists(a_key)); });
}

TEST_P(NoMemoryTest, Batches) {
  std::array<std::array<std::byte, 100>, 3> buffers;
  const std::vector<GetItem> gets{{a_key, buffers[0]}, {a_key, buffers[1]}, {a_key, buffers[2]}};
  const std::vector<PutItem> puts{{a_key, bytes_of(text)}, {a_key, bytes_of(text)}};
  const std::vector<std::string> keys(5, a_key);
  if (GetParam() == Where::caller) return;  // of the outcomes themselves, that is; see client.h
  run_out_in_each([&] {
    for (const auto& got : client_->batched_get(gets)) expect_outcome(got);
    for (const auto& put : client_->batched_put(puts)) expect_outcome(put);
    const auto found = client_->batched_contains(keys);
    EXPECT_TRUE(found.hits == 5 || (found.error && is_expected(*found.error)));
  });
}

TEST_P(NoMemoryTest, AsynchronousCalls) {
  std::array<std::byte, 100> buffer;
  run_out_in_each([&] {
    std::atomic<int> told{0};
    const auto tell = [&](const auto& outcome) {
      expect_outcome(outcome);
      ++told;
    };
    const bool was_watched = std::exchange(is_watched, false);  // what follows is the caller's
    Handler<Result<PutOutcome>> of_put = tell;
    Handler<Result<GetOutcome>> of_get = tell;
    Handler<Result<std::optional<Lease>>> of_acquire = tell;
    Handler<Result<bool>> of_exists = tell;
    is_watched = was_watched;
    client_->async_put(a_key, bytes_of(text), std::move(of_put));
    client_->async_get(a_key, buffer, std::move(of_get));
    client_->async_acquire(a_key, std::move(of_acquire)).cancel();
    client_->async_exists(a_key, std::move(of_exists));
    is_watched = false;
    ASSERT_TRUE(eventually([&] { return told == 4; }));
  });
}

// While none is to be had at all.
TEST_P(NoMemoryTest, EndsEveryCallWhileThereIsNone) {
  if (GetParam() == Where::caller) return;
  all_fail = true;
  left = 0;
  std::array<std::byte, 100> buffer;
  for (int i = 0; i < 3; ++i) {
    const auto put = client_->put(a_key, bytes_of(text));
    const auto got = client_->get(a_key, buffer);
    EXPECT_FALSE(put);
    EXPECT_FALSE(got);
    EXPECT_TRUE(!put && is_expected(put.error())) << put.error().message;
    EXPECT_TRUE(!got && is_expected(got.error())) << got.error().message;
  }
  left = -1;
  all_fail = false;
  settle();
}

TEST_P(NoMemoryTest, IsClosedAllTheSame) {
  if (GetParam() == Where::caller) return;
  auto lease = *client_->acquire(a_key);
  all_fail = true;
  left = 0;
  client_->close();
  lease.reset();
  client_.reset();
  all_fail = false;
}

}  // namespace
}  // namespace hyperpod::client
