// SPDX-License-Identifier: Apache-2.0
// Reading through leases: what is believed of a daemon, and what is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <fstream>
#include <iterator>
#include <string>

#include "hyperpod/client/client.h"
#include "points.h"
#include "testing/fake_daemon.h"

namespace hyperpod::client {
namespace {

using namespace std::chrono_literals;
using testing::answer;
using testing::bytes_of;
using ::testing::ElementsAre;
using testing::FakeDaemon;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::lease_body;
using testing::make_client;
using testing::options_for;
using testing::SeenRequest;
using testing::text_of;

class ReadingTest : public ::testing::Test {
 protected:
  Client& client() {
    if (!client_) client_.emplace(make_client(options_));
    return *client_;
  }

  Result<GetOutcome> get(std::size_t room = 4096) {
    buffer_.assign(room, '#');
    return client().get("key", std::as_writable_bytes(std::span(buffer_)));
  }

  // The error of a get that must leave no lease behind.
  ErrorCode refused_get(std::size_t room = 4096) {
    const auto got = get(room);
    if (got) {
      ADD_FAILURE() << "no error";
      return ErrorCode::closed;
    }
    return got.error().code;
  }

  // The ids released, once all leases have been.
  std::vector<std::string> released() {
    EXPECT_TRUE(testing::settles(client()));
    return daemon_.released();
  }

  ~ReadingTest() override { points::clear(); }

  FakeDaemon daemon_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  ClientOptions options_ = [this] {
    auto options = options_for(daemon_);
    options.clock = clock_;
    return options;
  }();
  std::optional<Client> client_;
  std::string buffer_;
};

TEST_F(ReadingTest, CopiesFragmentsInOrder) {
  daemon_.segment().write(100, "world");
  daemon_.segment().write(5000, "hello ");
  daemon_.grant("lease", {{5000, 6}, {100, 5}});
  const auto got = get();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->is_hit());
  EXPECT_EQ(got->size, 11u);
  EXPECT_EQ(buffer_.substr(0, 12), "hello world#");
  EXPECT_THAT(released(), ElementsAre("lease"));
}

TEST_F(ReadingTest, AllocatesForWhoGivesNoBuffer) {
  daemon_.segment().write(0, "hello");
  daemon_.grant("lease", {{0, 5}});
  const auto got = client().get("key");
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_TRUE(got->is_hit());
  EXPECT_EQ(text_of(got->bytes()), "hello");
}

TEST_F(ReadingTest, TakesNotFoundAndTimeoutForAMiss) {
  for (const int status : {404, 504}) {
    daemon_.on_lease([=](const SeenRequest&) { return answer(status, R"({"error":"absent"})"); });
    const auto got = get();
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->status, GetStatus::miss);
    EXPECT_EQ(got->size, 0u);
    EXPECT_EQ(client().exists("key"), false);
    const auto lease = client().acquire("key");
    ASSERT_TRUE(lease);
    EXPECT_FALSE(lease->has_value());
  }
  EXPECT_EQ(client().statistics().get_miss, 2u);
  EXPECT_EQ(client().statistics().get_failure, 2u);
  EXPECT_EQ(client().statistics().lease_acquired, 0u);
}

TEST_F(ReadingTest, TellsTheStatusOfARefusal) {
  daemon_.on_lease([](const SeenRequest&) { return answer(429); });
  const auto got = get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::refused);
  EXPECT_EQ(got.error().status, 429);
  EXPECT_THAT(got.error().message, HasSubstr("429"));
}

std::string repeated(const std::string& element, int times) {
  std::string list = element;
  for (int i = 1; i < times; ++i) list += "," + element;
  return list;
}

TEST_F(ReadingTest, ReleasesEveryLeaseThatItRefuses) {
  const std::string huge = "18446744073709551615";
  for (const std::string& body :
       {std::string(R"({"id":"L","offsets":[]})"), std::string(R"({"id":"L"})"),
        std::string(R"({"id":"L","offsets":[{"offset":-4096,"len":10}]})"),
        std::string(R"({"id":"L","offsets":[{"offset":0,"len":0}]})"),
        std::string(R"({"id":"L","offsets":[{"offset":0,"len":10},{"offset":65530,"len":7}]})"),
        R"({"id":"L","offsets":[{"offset":)" + huge + R"(,"len":1}]})",
        R"({"id":"L","offsets":[{"offset":0,"len":)" + huge + "}]}",
        // No object has a byte twice, or more bytes than there are.
        std::string(R"({"id":"L","offsets":[{"offset":0,"len":10},{"offset":9,"len":10}]})"),
        std::string(R"({"id":"L","offsets":[{"offset":5,"len":10},{"offset":0,"len":6}]})"),
        R"({"id":"L","offsets":[)" + repeated(R"({"offset":0,"len":65536})", 1000) + "]}",
        std::string(R"({"id":"L","offsets":[{"offset":0,"len":10})")}) {
    const auto before = released().size();
    daemon_.on_lease([=](const SeenRequest&) { return answer(200, body); });
    EXPECT_EQ(refused_get(), ErrorCode::malformed_response) << body;
    EXPECT_EQ(released().size(), before + 1) << body;
  }
  const auto statistics = client().statistics();
  EXPECT_EQ(statistics.lease_acquired, 11u);
  EXPECT_EQ(statistics.lease_released, 11u);
}

TEST_F(ReadingTest, ReleasesALeaseUnderTheWrongContentType) {
  daemon_.on_lease([](const SeenRequest&) {
    return answer(200, lease_body("L", {{0, 1}}), "text/plain");
  });
  EXPECT_EQ(refused_get(), ErrorCode::malformed_response);
  EXPECT_THAT(released(), ElementsAre("L"));
}

TEST_F(ReadingTest, ReleasesALeaseWhoseAnswerBreaksOff) {
  daemon_.on_lease([](const SeenRequest&) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
  });
  EXPECT_EQ(refused_get(), ErrorCode::malformed_response);
  EXPECT_THAT(released(), IsEmpty()) << "no id is known";

  std::atomic<int> asked{0};
  testing::ScriptedServer server([&](testing::Conversation& c) {
    while (const auto request = c.read_request()) {
      if (request->line.find("/leases?") != std::string::npos) {
        ++asked;
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"id\":\"broken\",\"offsets\":[{");
        return;
      }
      EXPECT_EQ(request->line, "POST /v1/leases/broken/release HTTP/1.1");
      c.send(answer(200));
    }
  });
  options_.remote_url = server.url();
  auto other = make_client(options_);
  const auto got = other.get("key", std::as_writable_bytes(std::span(buffer_)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::malformed_response);
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(testing::settles(other));
  EXPECT_EQ(other.statistics().lease_released, 1u);
}

TEST_F(ReadingTest, WritesNothingBeforeAllFragmentsAreKnownToBeRight) {
  daemon_.grant("L", {{0, 10}, {65535, 2}});
  EXPECT_EQ(refused_get(), ErrorCode::malformed_response);
  EXPECT_EQ(buffer_, std::string(4096, '#'));
}

TEST_F(ReadingTest, RefusesWhatExceedsTheBufferOrTheLimit) {
  daemon_.grant("L", {{0, 100}});
  EXPECT_EQ(refused_get(99), ErrorCode::too_large);
  EXPECT_EQ(buffer_, std::string(99, '#'));
  EXPECT_TRUE(get(100)->is_hit());
  options_.max_lease_bytes = 99;
  client_.emplace(make_client(options_));
  EXPECT_EQ(refused_get(), ErrorCode::too_large);
  EXPECT_EQ(client().acquire("key").error().code, ErrorCode::too_large);
  EXPECT_THAT(released(), ElementsAre("L", "L", "L", "L"));
}

TEST_F(ReadingTest, LeasesWithoutCopying) {
  daemon_.segment().write(10, "abc");
  daemon_.grant("L", {{10, 1}, {11, 2}});
  auto lease = client().acquire("key");
  ASSERT_TRUE(lease && *lease);
  EXPECT_EQ((*lease)->id(), "L");
  EXPECT_EQ((*lease)->size(), 3u);
  ASSERT_EQ((*lease)->fragments().size(), 2u);
  EXPECT_EQ(text_of((*lease)->fragments()[1]), "bc");
  EXPECT_EQ((*lease)->time_left(), 30s);
  EXPECT_TRUE((*lease)->is_valid());
  EXPECT_THAT(daemon_.released(), IsEmpty());
  lease->reset();
  EXPECT_THAT(released(), ElementsAre("L"));
}

TEST_F(ReadingTest, CopiesAnyPartOfALease) {
  daemon_.segment().write(0, "abcdef");
  daemon_.grant("L", {{0, 2}, {2, 1}, {3, 3}});
  const auto lease = *client().acquire("key");
  for (std::uint64_t offset = 0; offset <= 6; ++offset) {
    for (std::uint64_t size = 0; size + offset <= 6; ++size) {
      std::string out(size, '#');
      ASSERT_TRUE(lease->copy_to(std::as_writable_bytes(std::span(out)), offset));
      EXPECT_EQ(out, std::string("abcdef").substr(offset, size));
    }
  }
  std::array<std::byte, 7> room;
  EXPECT_EQ(lease->copy_to(room).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(lease->copy_to(std::span(room).first(1), 6).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(lease->copy_to(std::span(room).first(0), ~std::uint64_t{0}).error().code,
            ErrorCode::invalid_argument);
}

TEST_F(ReadingTest, CountsTheTtlFromBeforeTheRequest) {
  daemon_.on_lease([this](const SeenRequest&) {
    clock_->advance(200ms);
    return answer(200, lease_body("L", {{0, 1}}));
  });
  EXPECT_EQ((*client().acquire("key"))->time_left(), 30s - 200ms);
}

TEST_F(ReadingTest, TakesALeaseThatCameTooLateForExpired) {
  options_.lease_ttl = 100ms;
  daemon_.on_lease([this](const SeenRequest&) {
    clock_->advance(100ms);
    return answer(200, lease_body("L", {{0, 1}}));
  });
  const auto got = get();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->status, GetStatus::lease_expired);
  EXPECT_EQ(buffer_, std::string(4096, '#'));
  EXPECT_THAT(released(), ElementsAre("L"));
  EXPECT_EQ(client().statistics().get_failure, 1u);
  EXPECT_EQ(client().statistics().get_miss, 0u);
}

TEST_F(ReadingTest, DoesNotReadThroughAnExpiredLease) {
  daemon_.grant("L", {{0, 1}});
  const auto lease = *client().acquire("key");
  clock_->advance(30s - 1ns);
  EXPECT_TRUE(lease->is_valid());
  EXPECT_EQ(lease->time_left(), 1ns);
  clock_->advance(1ns);
  EXPECT_FALSE(lease->is_valid());
  EXPECT_EQ(lease->time_left(), 0ns);
  std::array<std::byte, 1> out{std::byte{'#'}};
  EXPECT_EQ(lease->copy_to(out).error().code, ErrorCode::lease_expired);
  EXPECT_EQ(out[0], std::byte{'#'});
}

TEST_F(ReadingTest, TakesACopyThatEndsAfterExpiryForAMiss) {
  daemon_.segment().write(0, "x");
  daemon_.grant("L", {{0, 1}});
  const auto lease = *client().acquire("key");
  std::array<std::byte, 1> out{};
  ASSERT_TRUE(lease->copy_to(out));
  points::set("lease.copied", [this](auto) { clock_->advance(30s); });
  EXPECT_EQ(lease->copy_to(out).error().code, ErrorCode::lease_expired);
}

TEST_F(ReadingTest, DoesNotReadThroughAReleasedLease) {
  daemon_.grant("L", {{0, 1}});
  auto lease = *client().acquire("key");
  EXPECT_TRUE(lease->release());
  EXPECT_TRUE(lease->release());
  EXPECT_FALSE(lease->is_valid());
  std::array<std::byte, 1> out{};
  EXPECT_EQ(lease->copy_to(out).error().code, ErrorCode::lease_expired);
  lease.reset();
  EXPECT_THAT(released(), ElementsAre("L"));
}

TEST_F(ReadingTest, AsksForNoLeaseWithoutASegmentAndHeals) {
  daemon_.grant("L", {{0, 1}});
  daemon_.unlink_segment();
  EXPECT_EQ(refused_get(), ErrorCode::segment_missing);
  EXPECT_EQ(refused_get(), ErrorCode::segment_missing);
  EXPECT_THAT(daemon_.requests(), IsEmpty());
  EXPECT_EQ(client().exists("key"), true) << "needs no segment";
  daemon_.replace_segment();
  EXPECT_TRUE(get()->is_hit());
}

TEST_F(ReadingTest, StoresAndLooksUpButDoesNotReadWhenSharedMemoryIsDisabled) {
  options_.shared_memory_name.reset();
  daemon_.grant("L", {{0, 1}});
  EXPECT_EQ(client().put("key", bytes_of("x")), PutOutcome::stored);
  EXPECT_EQ(client().exists("key"), true);
  EXPECT_THAT(released(), ElementsAre("L"));
  EXPECT_EQ(refused_get(), ErrorCode::segment_missing);
  EXPECT_EQ(daemon_.requests().size(), 3u);
}

// The restart of a daemon, at each moment of a read. Offsets of the one daemon must never be read
// in the other's segment.
TEST_F(ReadingTest, TakesARestartWhileTheLeaseIsAskedForForAMiss) {
  daemon_.segment().write(0, "old");
  daemon_.on_lease([this](const SeenRequest&) {
    daemon_.replace_segment();
    daemon_.segment().write(0, "new");
    return answer(200, lease_body("L", {{0, 3}}));
  });
  ASSERT_TRUE(client().exists("warm the client"));
  const auto got = get();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->status, GetStatus::miss);
  EXPECT_EQ(buffer_, std::string(4096, '#'));
  EXPECT_THAT(released(), ElementsAre("L", "L"));
}

TEST_F(ReadingTest, ReadsTheNewSegmentAfterARestart) {
  daemon_.grant("L", {{0, 3}});
  daemon_.segment().write(0, "old");
  ASSERT_TRUE(get()->is_hit());
  EXPECT_EQ(buffer_.substr(0, 3), "old");
  daemon_.replace_segment();
  daemon_.segment().write(0, "new");
  ASSERT_TRUE(get()->is_hit());
  EXPECT_EQ(buffer_.substr(0, 3), "new");
}

TEST_F(ReadingTest, TakesARestartBetweenLeaseAndCopyForExpiry) {
  daemon_.segment().write(0, "old");
  daemon_.grant("L", {{0, 3}});
  auto lease = *client().acquire("key");
  daemon_.replace_segment();
  daemon_.segment().write(0, "new");
  EXPECT_FALSE(lease->is_valid());
  EXPECT_EQ(text_of(lease->fragments()[0]), "old") << "the old bytes stay mapped";
  std::string out(3, '#');
  EXPECT_EQ(lease->copy_to(std::as_writable_bytes(std::span(out))).error().code,
            ErrorCode::lease_expired);
  EXPECT_EQ(out, "###");
}

TEST_F(ReadingTest, DoesNotReleaseAtANewDaemonWhatTheOldOneGranted) {
  daemon_.grant("L", {{0, 3}});
  auto lease = *client().acquire("key");
  daemon_.replace_segment();
  lease.reset();
  EXPECT_THAT(released(), IsEmpty());
  EXPECT_EQ(client().statistics().lease_lost, 1u);
  EXPECT_EQ(client().statistics().lease_release_failed, 0u);
}

TEST_F(ReadingTest, TellsThatTheSegmentWentAndReleasesTheLease) {
  daemon_.on_lease([this](const SeenRequest&) {
    daemon_.unlink_segment();
    return answer(200, lease_body("L", {{0, 3}}));
  });
  EXPECT_EQ(refused_get(), ErrorCode::segment_missing);
  EXPECT_THAT(released(), ElementsAre("L")) << "the daemon still pins it";
}

TEST_F(ReadingTest, ReleasesALeaseThoughTheSegmentIsUnlinked) {
  daemon_.grant("L", {{0, 3}});
  auto lease = *client().acquire("key");
  daemon_.unlink_segment();
  EXPECT_FALSE(lease->is_valid());
  lease.reset();
  EXPECT_THAT(released(), ElementsAre("L"));
}

const ChunkLayout small_layout{MemoryFormat::kv_2ltd, {{ElementType::bfloat16, {2, 1, 4, 8}}}};

// That header and 128 bytes of payload.
std::string golden_chunk() {
  std::ifstream file(HYPERPOD_FIXTURES "/golden/kv_2ltd_bf16_2x1x4x8.chunk.bin", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ChunkReadingTest : public ReadingTest {
 protected:
  Result<ChunkOutcome> get_chunk(std::size_t room = 128) {
    buffer_.assign(room, '#');
    return client().get_chunk("key", std::as_writable_bytes(std::span(buffer_)), small_layout);
  }
};

TEST_F(ChunkReadingTest, ReadsAHeaderThatStraddlesFragments) {
  const std::string chunk = golden_chunk();
  for (const std::size_t cut : {1u, 13u, 27u, 28u, 29u, 155u}) {
    daemon_.segment().write(9000, chunk.substr(0, cut));
    daemon_.segment().write(100, chunk.substr(cut));
    daemon_.grant("L", {{9000, cut}, {100, chunk.size() - cut}});
    const auto got = get_chunk();
    ASSERT_TRUE(got) << got.error().message;
    ASSERT_TRUE(got->is_hit());
    EXPECT_EQ(got->layout, small_layout);
    EXPECT_EQ(got->size, 128u);
    EXPECT_EQ(buffer_, chunk.substr(28)) << cut;
  }
}

TEST_F(ChunkReadingTest, RefusesSizesThatDoNotMatchTheHeader) {
  const std::string chunk = golden_chunk();
  daemon_.segment().write(0, chunk);
  for (const std::size_t size : {1u, 27u, 28u, 29u, 155u, 157u}) {
    daemon_.grant("L", {{0, size}});
    const auto got = get_chunk();
    ASSERT_FALSE(got) << size;
    EXPECT_EQ(got.error().code, ErrorCode::malformed_response) << size;
  }
  daemon_.grant("L", {{0, 156}});
  EXPECT_EQ(get_chunk(127).error().code, ErrorCode::too_large);
  EXPECT_EQ(released().size(), 7u);
}

TEST_F(ChunkReadingTest, ReadsAPartialChunkWithoutAHeader) {
  options_.save_chunk_meta = false;
  daemon_.segment().write(0, "3 tokens of 32 bytes");
  daemon_.grant("L", {{0, 96}});
  const auto got = get_chunk();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->size, 96u);
  EXPECT_EQ(got->layout.groups[0].shape, (std::array<std::int32_t, 4>{2, 1, 3, 8}));
  for (const std::size_t size : {95u, 160u}) {
    daemon_.grant("L", {{0, size}});
    EXPECT_EQ(get_chunk(4096).error().code, ErrorCode::malformed_response);
  }
  EXPECT_EQ(released().size(), 3u);
}

TEST_F(ChunkReadingTest, WritesAHeaderOnlyIfItIsToBeSaved) {
  const std::string chunk = golden_chunk();
  const auto payload = bytes_of(std::string_view(chunk).substr(28));
  ASSERT_EQ(client().put_chunk("key", small_layout, payload), PutOutcome::stored);
  EXPECT_EQ(daemon_.requests().back().body, chunk);
  options_.save_chunk_meta = false;
  client_.emplace(make_client(options_));
  ASSERT_EQ(client().put_chunk("key", small_layout, payload), PutOutcome::stored);
  EXPECT_EQ(daemon_.requests().back().body, chunk.substr(28));
}

TEST_F(ChunkReadingTest, TellsAMissAndALateLease) {
  EXPECT_EQ(get_chunk()->status, GetStatus::miss);
  daemon_.on_lease([this](const SeenRequest&) {
    clock_->advance(31s);
    return answer(200, lease_body("L", {{0, 156}}));
  });
  options_.timeout = 60s;
  client_.emplace(make_client(options_));
  EXPECT_EQ(get_chunk()->status, GetStatus::lease_expired);
}

}  // namespace
}  // namespace hyperpod::client
