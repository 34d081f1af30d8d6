// SPDX-License-Identifier: Apache-2.0
// The calls as Asio's completion tokens have them, on a caller's own io_context.
#include "hyperpod/client/asio.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <string>
#include <thread>
#include <utility>

#include "testing/fake_daemon.h"

namespace hyperpod::client {
namespace {

namespace asio = boost::asio;
using testing::answer;
using testing::bytes_of;
using testing::FakeDaemon;

class AsioTest : public ::testing::Test {
 protected:
  AsioTest() {
    daemon_.segment().write(0, "hello");
    daemon_.grant("L", {{0, 5}});
  }

  std::atomic<bool> held_{false};  // these outlive the daemon, which looks at them
  std::atomic<bool> open_{false};
  FakeDaemon daemon_;
  Client client_{testing::make_client(testing::options_for(daemon_))};
  asio::io_context context_;
};

asio::awaitable<std::string> round_trip(Client& client, std::thread::id& thread) {
  const auto stored = co_await async_put(client, "key", bytes_of("hello"), asio::use_awaitable);
  if (stored != PutOutcome::stored) co_return "not stored";
  std::string buffer(5, '#');
  const auto got = co_await async_get(client, "key", std::as_writable_bytes(std::span(buffer)),
                                      asio::use_awaitable);
  if (!got || !got->is_hit()) co_return "not read";
  auto lease = co_await async_acquire(client, "key", {}, asio::use_awaitable);
  if (!lease || !*lease) co_return "not leased";
  const auto released = co_await async_release(**lease, asio::use_awaitable);
  if (!released) co_return "not released";
  const std::vector<std::string> keys(2, "key");
  const auto found = co_await async_batched_contains(client, keys, {}, asio::use_awaitable);
  if (found.hits != 2) co_return "not found";
  thread = std::this_thread::get_id();
  co_return buffer;
}

TEST_F(AsioTest, CoroutinesWaitForCallsOnTheirOwnContext) {
  std::thread::id thread;
  auto read = asio::co_spawn(context_, round_trip(client_, thread), asio::use_future);
  context_.run();
  EXPECT_EQ(read.get(), "hello");
  EXPECT_EQ(thread, std::this_thread::get_id());
}

TEST_F(AsioTest, FuturesWork) {
  auto found = async_exists(client_, "key", {}, asio::use_future);
  EXPECT_EQ(found.get(), true);
}

TEST_F(AsioTest, ASlotCancelsTheCall) {
  daemon_.on_lease([&](const testing::SeenRequest&) {
    held_ = true;
    testing::eventually([&] { return open_.load(); });
    return answer(504);
  });
  asio::cancellation_signal signal;
  std::optional<Result<bool>> found;
  async_exists(client_, "key", {},
               asio::bind_cancellation_slot(
                   signal.slot(), asio::bind_executor(context_, [&](Result<bool> outcome) {
                     found.emplace(std::move(outcome));
                   })));
  ASSERT_TRUE(testing::eventually([&] { return held_.load(); }));
  signal.emit(asio::cancellation_type::all);
  context_.run();
  open_ = true;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace hyperpod::client
