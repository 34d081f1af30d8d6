#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator {
namespace {

using namespace std::chrono_literals;
using testing::StartsWith;

TEST(FaultJson, ReadsAFault) {
  const auto faults = faults_from_json(R"({"description": "why", "faults": [
    {"name": "slow",
     "match": {"operation": "lease", "bucket": "kv-*", "key": "model@*", "nth": 3},
     "effects": {"delay": "250ms"}}]})");
  ASSERT_TRUE(faults) << faults.error().message;
  const Fault slow{
      .name = "slow",
      .match = {.operation = FaultOperation::lease, .bucket = "kv-*", .key = "model@*", .nth = 3},
      .script = {{.delay = Delay{.low = 250ms}}}};
  EXPECT_THAT(*faults, testing::ElementsAre(slow));
}

TEST(FaultJson, AnUnknownMemberIsNamedWithItsWholePath) {
  const auto refused = faults_from_json(
      R"([{"effects": {}}, {"effects": {}}, {"match": {"buket": "b"}, "effects": {}}])");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, StartsWith("faults[2].match.buket is unknown; known are "));
}

}  // namespace
}  // namespace hyperpod::emulator
