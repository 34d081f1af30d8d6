// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/key.h"

#include <gtest/gtest.h>

namespace hyperpod::client {
namespace {

TEST(EngineKey, IsSpeltAsLmcacheSpellsIt) {
  const EngineKey key{"meta-llama/Llama-3-8B", 8, 3, "1a2b", "bfloat16", {}};
  EXPECT_EQ(key.to_string(), "meta-llama/Llama-3-8B@8@3@1a2b@bfloat16");
  EXPECT_EQ(EngineKey::parse(key.to_string()), key);
  EXPECT_TRUE(EngineKey::parse("m@1@0@-1a2b@half"));
}

TEST(EngineKey, CarriesTags) {
  const char* text = "org/model@2@1@00ff@half@user%alice@note%50%25";
  const auto key = EngineKey::parse(text);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->tags, (std::vector<std::pair<std::string, std::string>>{{"user", "alice"},
                                                                         {"note", "50%25"}}));
  EXPECT_EQ(key->to_string(), text);
}

TEST(EngineKey, RefusesWhatIsNone) {
  for (const char* text : {"", "m@1@0@ab", "m@x@0@ab@half", "m@1@-1@ab@half", "m@1@0@xy@half",
                           "m@1@0@@half", "m@1@0@-@half", "m@1@0@ab@half@tag"}) {
    const auto key = EngineKey::parse(text);
    ASSERT_FALSE(key) << text;
    EXPECT_EQ(key.error().code, ErrorCode::invalid_argument);
  }
}

TEST(LegacyEngineKey, RoundTrips) {
  const char* text = "vllm@org/model@4@2@deadbeef";
  const auto key = LegacyEngineKey::parse(text);
  ASSERT_TRUE(key);
  EXPECT_EQ(*key, (LegacyEngineKey{"vllm", "org/model", 4, 2, "deadbeef"}));
  EXPECT_EQ(key->to_string(), text);
  EXPECT_FALSE(LegacyEngineKey::parse("vllm@m@4@2"));
  EXPECT_FALSE(LegacyEngineKey::parse("vllm@m@four@2@ab"));
}

TEST(ObjectKey, HasARankOfEightHexDigits) {
  EXPECT_EQ((ObjectKey{"org/model", 0x1f, 0xa, "00ff", ""}).to_string(),
            "org/model@0000001f@a@00ff");
  EXPECT_EQ((ObjectKey{"m", 0xffffffff, 0, "ab", "team@x"}).to_string(), "m@ffffffff@0@ab@team@x");
}

TEST(ObjectKey, RoundTrips) {
  for (const char* text : {"org/model@0000001f@a@00ff", "m@ffffffff@0@ab@team@x"}) {
    const auto key = ObjectKey::parse(text);
    ASSERT_TRUE(key) << text;
    EXPECT_EQ(key->to_string(), text);
  }
}

TEST(ObjectKey, RefusesWhatIsNone) {
  for (const char* text :
       {"", "m@1@0@ab", "m@0000001g@0@ab", "m@00000001@@ab", "m@00000001@0@", "m@00000001@0"}) {
    EXPECT_FALSE(ObjectKey::parse(text)) << text;
  }
}

}  // namespace
}  // namespace hyperpod::client
