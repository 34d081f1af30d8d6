// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/socket_set.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <vector>

namespace hyperpod::base {
namespace {

// Nobody deletes it as a SocketWatcher. NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
struct Recorder final : SocketWatcher {
  void ready(std::uint32_t told) override {
    events.push_back(told);
    if (then) then();
  }
  std::vector<std::uint32_t> events;
  std::function<void()> then;
};

class SocketSetTest : public testing::Test {
 protected:
  /// A connected pair: ours is to be watched, the other is the peer's.
  struct Pair {
    Pair() {
      std::array<int, 2> ends{};
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
      ours.reset(ends[0]);
      peers.reset(ends[1]);
    }
    void send_byte() const { EXPECT_EQ(::write(peers.get(), "x", 1), 1); }
    FileDescriptor ours, peers;
  };

  std::size_t tell() {
    return set.tell([](SocketWatcher& watcher, std::uint32_t events) { watcher.ready(events); });
  }
  bool is_readable() const {
    pollfd waited{set.descriptor(), POLLIN, 0};
    return ::poll(&waited, 1, 0) == 1;
  }

  SocketSet set;
};

TEST_F(SocketSetTest, TellsOnceOfWhatHasCome) {
  const Pair pair;
  Recorder watcher;
  ASSERT_TRUE(set.add(pair.ours.get(), watcher));
  tell();  // that it can be written to
  watcher.events.clear();
  EXPECT_FALSE(is_readable());

  pair.send_byte();
  EXPECT_TRUE(is_readable());
  EXPECT_EQ(tell(), 1u);
  EXPECT_EQ(tell(), 0u);
  ASSERT_EQ(watcher.events.size(), 1u);
  EXPECT_NE(watcher.events[0] & EPOLLIN, 0u);

  pair.send_byte();  // behind the one that nobody has read
  EXPECT_EQ(tell(), 1u);
  set.remove(pair.ours.get(), watcher);
}

TEST_F(SocketSetTest, TellsThatThePeerIsDone) {
  const Pair pair;
  Recorder watcher;
  ASSERT_TRUE(set.add(pair.ours.get(), watcher));
  ::shutdown(pair.peers.get(), SHUT_WR);
  tell();
  ASSERT_EQ(watcher.events.size(), 1u);
  EXPECT_NE(watcher.events[0] & EPOLLRDHUP, 0u);
  set.remove(pair.ours.get(), watcher);
}

TEST_F(SocketSetTest, TellsNothingOfWhatWasRemovedMeanwhile) {
  const Pair first, second;
  Recorder one, other;
  ASSERT_TRUE(set.add(first.ours.get(), one));
  ASSERT_TRUE(set.add(second.ours.get(), other));
  // Whichever is told first takes the other away.
  one.then = [&] { set.remove(second.ours.get(), other); };
  other.then = [&] { set.remove(first.ours.get(), one); };
  EXPECT_EQ(tell(), 2u);
  EXPECT_EQ(one.events.size() + other.events.size(), 1u);
  EXPECT_FALSE(set.empty());
}

TEST_F(SocketSetTest, TellsOfManyInSeveralCalls) {
  std::vector<Pair> pairs(SocketSet::at_once + 3);
  Recorder watcher;
  for (const Pair& pair : pairs) ASSERT_TRUE(set.add(pair.ours.get(), watcher));
  EXPECT_EQ(tell(), SocketSet::at_once);
  EXPECT_EQ(tell(), 3u);
  EXPECT_EQ(watcher.events.size(), pairs.size());
  for (const Pair& pair : pairs) set.remove(pair.ours.get(), watcher);
  EXPECT_TRUE(set.empty());
}

TEST_F(SocketSetTest, RefusesWhatCannotBeWatched) {
  Recorder watcher;
  EXPECT_FALSE(set.add(-1, watcher));
  EXPECT_EQ(errno, EBADF);
  EXPECT_TRUE(set.empty());
}

}  // namespace
}  // namespace hyperpod::base
