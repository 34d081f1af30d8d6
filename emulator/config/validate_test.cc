// SPDX-License-Identifier: Apache-2.0
#include "config/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace hyperpod::emulator::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

// The message for options that `change` spoils.
std::string refusal(const std::function<void(Options&)>& change) {
  Options options;
  change(options);
  const auto valid = validate(options);
  if (valid) return "accepted";
  EXPECT_EQ(valid.error().code, ErrorCode::invalid_option);
  return valid.error().message;
}

std::string accepted(const std::function<void(Options&)>& change) { return refusal(change); }

TEST(Validate, DefaultsAreValid) { EXPECT_TRUE(validate(Options{})); }

TEST(Validate, ListenAddressMustBeHostAndPort) {
  EXPECT_THAT(refusal([](Options& o) { o.listen = "9200"; }),
              AllOf(StartsWith("Options::listen: "), HasSubstr("HOST:PORT")));
}

TEST(Validate, SegmentNameMustBeAPlainName) {
  for (const std::string& name : {std::string(), std::string("/cache"), std::string("a/b"),
                                  std::string("."), std::string(".."), std::string(".cache.owner"),
                                  std::string("a\0b", 3), std::string(249, 'x')}) {
    EXPECT_THAT(refusal([&](Options& o) { o.shm_name = name; }), StartsWith("Options::shm_name: "));
  }
  EXPECT_EQ(accepted([](Options& o) { o.shm_name = std::string(248, 'x'); }), "accepted");
}

TEST(Validate, CapacityMustBeAMultipleOfTheBlockSize) {
  EXPECT_EQ(refusal([](Options& o) {
              o.capacity = 100ull << 20;
              o.block_size = 64ull << 20;
            }),
            "Options::capacity: the capacity of 100MiB is not a multiple of the block size of "
            "64MiB; take "
            "a capacity of 64MiB or 128MiB");
}

TEST(Validate, ASegmentHoldsAtLeastOneBlockAndNoMoreThanCanBeCounted) {
  EXPECT_THAT(refusal([](Options& o) { o.block_size = 0; }), StartsWith("Options::block_size: "));
  EXPECT_THAT(refusal([](Options& o) { o.block_size = 4095; }),
              StartsWith("Options::block_size: "));
  EXPECT_THAT(refusal([](Options& o) { o.capacity = 0; }), StartsWith("Options::capacity: "));
  EXPECT_THAT(refusal([](Options& o) { o.capacity = o.block_size / 2; }),
              HasSubstr("no room for one block"));
  EXPECT_THAT(refusal([](Options& o) { o.capacity = UINT64_MAX / o.block_size * o.block_size; }),
              HasSubstr("too large"));
  EXPECT_EQ(accepted([](Options& o) { o.capacity = o.block_size = 4096; }), "accepted");
}

TEST(Validate, SegmentModeHasPermissionBitsOnly) {
  EXPECT_THAT(refusal([](Options& o) { o.shm_mode = 01777; }),
              StartsWith("Options::shm_mode: 01777"));
  EXPECT_EQ(accepted([](Options& o) { o.shm_mode = 0777; }), "accepted");
}

TEST(Validate, EveryStatusMustBeAnErrorStatus) {
  int Behaviour::*const statuses[] = {&Behaviour::miss_status, &Behaviour::unknown_release_status,
                                      &Behaviour::empty_put_status, &Behaviour::no_room_status,
                                      &Behaviour::too_large_status};
  for (const auto status : statuses) {
    for (const int wrong : {-1, 0, 200, 399, 600}) {
      EXPECT_THAT(refusal([&](Options& o) { o.behaviour.*status = wrong; }),
                  HasSubstr("400 to 599"));
    }
    for (const int right : {400, 599}) {
      EXPECT_EQ(accepted([&](Options& o) { o.behaviour.*status = right; }), "accepted");
    }
  }
}

TEST(Validate, DurationsMustBePositiveAndCountable) {
  milliseconds Behaviour::*const behaviours[] = {&Behaviour::default_ttl, &Behaviour::max_ttl};
  for (const auto duration : behaviours) {
    for (const milliseconds wrong :
         {milliseconds{0}, milliseconds{-1}, milliseconds{hours{8761}}}) {
      EXPECT_THAT(refusal([&](Options& o) { o.behaviour.*duration = wrong; }),
                  HasSubstr("out of range"));
    }
  }
  milliseconds Limits::*const limits[] = {&Limits::head_timeout, &Limits::stall_timeout,
                                          &Limits::body_timeout, &Limits::idle_timeout};
  for (const auto duration : limits) {
    for (const milliseconds wrong : {milliseconds{0}, milliseconds{-1}, milliseconds::max()}) {
      EXPECT_THAT(refusal([&](Options& o) { o.limits.*duration = wrong; }),
                  HasSubstr("out of range"));
    }
  }
  EXPECT_THAT(refusal([](Options& o) { o.behaviour.default_hold = milliseconds{-1}; }),
              HasSubstr("out of range"));
  EXPECT_THAT(refusal([](Options& o) { o.behaviour.max_hold = milliseconds{-1}; }),
              HasSubstr("out of range"));
}

TEST(Validate, DefaultsOfALeaseMustNotExceedTheirGreatest) {
  EXPECT_THAT(refusal([](Options& o) { o.behaviour.default_hold = hours{2}; }),
              StartsWith("Options::behaviour.default_hold: "));
  EXPECT_THAT(refusal([](Options& o) { o.behaviour.max_ttl = milliseconds{29'999}; }),
              AllOf(StartsWith("Options::behaviour.default_ttl: "), HasSubstr("29999ms")));
  EXPECT_EQ(accepted([](Options& o) { o.behaviour.max_ttl = milliseconds{30'000}; }), "accepted");
}

TEST(Validate, LimitsMustLetARequestThrough) {
  EXPECT_THAT(refusal([](Options& o) { o.limits.head_bytes = 1023; }),
              StartsWith("Options::limits.head_bytes: "));
  EXPECT_THAT(refusal([](Options& o) { o.limits.head_bytes = (16u << 20) + 1; }),
              HasSubstr("16MiB"));
  EXPECT_THAT(refusal([](Options& o) { o.limits.headers = 0; }),
              StartsWith("Options::limits.headers: "));
  EXPECT_THAT(refusal([](Options& o) { o.threads = 1025; }), StartsWith("Options::threads: "));
}

TEST(Validate, PagesTouchedAtStartMustBeReservedThen) {
  const auto touched = [](Options& o) { o.prefault = true; };
  EXPECT_EQ(accepted(touched), "accepted");
  EXPECT_THAT(refusal([&](Options& o) {
                touched(o);
                o.reserve = Reserve::on_use;
              }),
              StartsWith("Options::prefault: "));
}

TEST(Validate, TlsTakesFilesOrADirectoryAndNoHalf) {
  EXPECT_THAT(refusal([](Options& o) { o.tls.certificate_file = "c"; }),
              StartsWith("Options::tls.certificate_file: "));
  EXPECT_THAT(refusal([](Options& o) { o.tls.key_file = "k"; }),
              StartsWith("Options::tls.key_file: "));
  EXPECT_THAT(refusal([](Options& o) {
                o.tls = {"c", "k", "d"};
              }),
              StartsWith("Options::tls.self_signed_directory: "));
  EXPECT_THAT(refusal([](Options& o) {
                o.tls = {"", "k", "d"};
              }),
              StartsWith("Options::tls.self_signed_directory: "));
  EXPECT_EQ(accepted([](Options& o) { o.tls = {"c", "k", ""}; }), "accepted");
  EXPECT_EQ(accepted([](Options& o) { o.tls = {"", "", "d"}; }), "accepted");
}

}  // namespace
}  // namespace hyperpod::emulator::config
