// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<Fault> read(std::string_view text) {
  const auto faults = faults_from_json(text);
  EXPECT_TRUE(faults) << faults.error().message;
  return faults.value_or(std::vector<Fault>{});
}

std::string refusal(std::string_view text) {
  const auto faults = faults_from_json(text);
  if (faults) return "";
  EXPECT_EQ(faults.error().code, ErrorCode::invalid_option);
  return faults.error().message;
}

json written(const Fault& fault) {
  json value = json::parse(fault_to_json(fault, {}));
  value.erase("counts");
  return value;
}

// --- Reading ------------------------------------------------------------------------------------

TEST(FaultJson, ReadsAFault) {
  const auto faults = read(R"({"description": "why", "faults": [
    {"name": "slow",
     "match": {"operation": "lease", "bucket": "kv-*", "key": "model@*", "connection": 2, "nth": 3,
               "probability": 0.5, "seed": 18446744073709551615},
     "effects": {"delay": "250ms", "real_ttl": "2s", "poison": "ü"}}]})");
  const Fault slow{.name = "slow",
                   .match = {.operation = FaultOperation::lease,
                             .bucket = "kv-*",
                             .key = "model@*",
                             .connection = 2,
                             .nth = 3,
                             .probability = 0.5,
                             .seed = std::numeric_limits<std::uint64_t>::max()},
                   .script = {{.delay = Delay{.low = 250ms}, .real_ttl = 2s, .poison = "ü"}}};
  EXPECT_THAT(faults, ElementsAre(slow));
}

TEST(FaultJson, AnArrayNeedsNoScenarioAroundIt) {
  EXPECT_EQ(read(R"([{"effects": {}}, {"effects": {}}])").size(), 2u);
  EXPECT_THAT(read("[]"), IsEmpty());
  EXPECT_THAT(read(R"({"faults": []})"), IsEmpty());
}

TEST(FaultJson, AScriptHasAnElementForEachTime) {
  const auto faults = read(R"([{"script": [{"status": 500}, {}, {"reset": true}]}])");
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_THAT(faults[0].script, ElementsAre(Effects{.ending = RespondWith{.status = 500}},
                                            Effects{}, Effects{.ending = ResetConnection{}}));
}

TEST(FaultJson, ADelayIsWhatItsMembersTell) {
  const auto delay = [](std::string_view text) {
    const auto faults = read(R"([{"effects": {"delay": )" + std::string(text) + "}}]");
    return faults.empty() ? Delay{} : faults[0].script[0].delay.value();
  };
  EXPECT_EQ(delay(R"("1min")"), (Delay{.low = 1min}));
  EXPECT_EQ(delay(R"({"low": "10ms", "high": "50ms"})"),
            (Delay{.kind = Delay::Kind::uniform, .low = 10ms, .high = 50ms}));
  EXPECT_EQ(delay(R"({"high": "50ms"})"), (Delay{.kind = Delay::Kind::uniform, .high = 50ms}));
  EXPECT_EQ(delay(R"({"median": "20ms", "sigma": 2})"),
            (Delay{.kind = Delay::Kind::lognormal, .low = 20ms, .sigma = 2}));
}

TEST(FaultJson, EveryNameOfAnEnumeratorIsRead) {
  const auto effects = [](std::string_view member, std::string_view name) {
    const auto faults = read(R"([{"effects": {")" + std::string(member) + R"(": ")" +
                             std::string(name) + R"("}}])");
    return faults.empty() ? Effects{} : faults[0].script[0];
  };
  using enum Incident;
  EXPECT_EQ(effects("incident", "unlink_segment").incident, unlink_segment);
  EXPECT_EQ(effects("incident", "recreate_segment").incident, recreate_segment);
  EXPECT_EQ(effects("incident", "drop_objects").incident, drop_objects);
  EXPECT_EQ(effects("incident", "restart").incident, restart);
  EXPECT_EQ(read(R"([{"effects": {"incident": "empty_segment", "lasting": "1s"}}])")[0].script[0],
            (Effects{.incident = empty_segment, .lasting = 1s}));
  EXPECT_EQ(read(R"([{"effects": {"incident": "change_mode", "mode": "0640"}}])")[0].script[0],
            (Effects{.incident = change_mode, .mode = 0640}));
  using enum GrantDefect;
  EXPECT_EQ(effects("grant_defect", "truncated_json").grant_defect, truncated_json);
  EXPECT_EQ(effects("grant_defect", "wrong_content_type").grant_defect, wrong_content_type);
  EXPECT_EQ(effects("grant_defect", "missing_id").grant_defect, missing_id);
  EXPECT_EQ(effects("grant_defect", "missing_offsets").grant_defect, missing_offsets);
  EXPECT_EQ(effects("grant_defect", "negative_offset").grant_defect, negative_offset);
  EXPECT_EQ(effects("grant_defect", "out_of_range_offset").grant_defect, out_of_range_offset);
  EXPECT_EQ(effects("grant_defect", "overlapping_fragments").grant_defect, overlapping_fragments);
  EXPECT_EQ(effects("grant_defect", "oversized_total").grant_defect, oversized_total);
  EXPECT_EQ(effects("grant_defect", "zero_length_fragment").grant_defect, zero_length_fragment);
  EXPECT_EQ(effects("grant_defect", "wrong_total").grant_defect, wrong_total);
}

// --- Errors -------------------------------------------------------------------------------------

TEST(FaultJson, AnUnknownMemberIsNamedWithItsWholePath) {
  EXPECT_EQ(
      refusal(R"([{"effects": {}}, {"effects": {}}, {"match": {"buket": "b"}, "effects": {}}])"),
      "faults[2].match.buket is unknown; known are operation, bucket, key, connection, nth, "
      "every, first, probability, seed");
  EXPECT_THAT(refusal(R"({"fault": []})"), StartsWith("fault is unknown; known are description"));
  EXPECT_THAT(refusal(R"([{"effect": {}}])"), StartsWith("faults[0].effect is unknown"));
  EXPECT_THAT(refusal(R"([{"script": [{}, {"a\nb": 1}]}])"),
              StartsWith("faults[0].script[1].a\\nb is unknown"));
  EXPECT_THAT(refusal(R"([{"effects": {"delay": {"low": "1ms", "hi": "2ms"}}}])"),
              StartsWith("faults[0].effects.delay.hi is unknown; known are low, high"));
  EXPECT_THAT(refusal(R"([{"effects": {"delay": {"median": "1ms", "high": "2ms"}}}])"),
              StartsWith("faults[0].effects.delay.high is unknown; known are median, sigma"));
  EXPECT_THAT(refusal(R"([{"effects": {}, "counts": {}}])"),
              StartsWith("faults[0].counts is unknown"));
}

TEST(FaultJson, AValueOfAnotherTypeIsNamed) {
  const auto effects = [](std::string_view members) {
    return refusal(R"([{"effects": {)" + std::string(members) + "}}]");
  };
  EXPECT_EQ(effects(R"("delay": 250)"),
            R"(faults[0].effects.delay must be a duration such as "250ms" or "2s", not '250')");
  EXPECT_THAT(effects(R"("delay": "250")"),
              AllOf(StartsWith("faults[0].effects.delay "), HasSubstr("has no unit")));
  EXPECT_THAT(effects(R"("delay": "-1ms")"), StartsWith("faults[0].effects.delay "));
  EXPECT_EQ(effects(R"("status": "500")"),
            "faults[0].effects.status must be a whole number from 0 to 2147483647, not '\"500\"'");
  EXPECT_THAT(effects(R"("status": 500.0)"), HasSubstr("must be a whole number"));
  EXPECT_THAT(effects(R"("status": -1)"), HasSubstr("must be a whole number"));
  EXPECT_THAT(effects(R"("status": 2147483648)"), HasSubstr("must be a whole number"));
  EXPECT_THAT(effects(R"("connections_above": 4294967296)"), HasSubstr("from 0 to 4294967295"));
  EXPECT_THAT(effects(R"("reset": 1)"), HasSubstr("effects.reset must be true or false, not '1'"));
  EXPECT_THAT(effects(R"("reset": null)"), HasSubstr("must be true or false, not 'null'"));
  EXPECT_THAT(effects(R"("poison": ["x"])"), HasSubstr("must be a string, not an array"));
  EXPECT_THAT(effects(R"("mode": 384)"), HasSubstr("must be a string of octal digits"));
  EXPECT_THAT(effects(R"("mode": "0o600")"), HasSubstr("must be a string of octal digits"));
  EXPECT_THAT(effects(R"("mode": "-1")"), HasSubstr("must be a string of octal digits"));
  EXPECT_THAT(effects(R"("mode": "")"), HasSubstr("must be a string of octal digits"));
  EXPECT_THAT(effects(R"("incident": "explode")"),
              StartsWith("faults[0].effects.incident must be one of unlink_segment, "));
  EXPECT_THAT(effects(R"("status": 503, "retry_after": "1500ms")"),
              HasSubstr("effects.retry_after must be a duration of whole seconds"));
  EXPECT_THAT(refusal(R"([{"match": {"probability": "1"}, "effects": {}}])"),
              StartsWith("faults[0].match.probability must be a number"));
  EXPECT_EQ(refusal("[7]"), "faults[0] must be an object, not '7'");
  EXPECT_EQ(refusal("7"), "faults must be an array of faults, not '7'");
  EXPECT_EQ(refusal(R"({"faults": {}})"), "faults must be an array of faults, not an object");
  EXPECT_THAT(refusal(R"({"description": 1, "faults": []})"), StartsWith("description must be"));
  EXPECT_THAT(refusal("{}"), StartsWith("faults is missing"));
}

TEST(FaultJson, EitherEffectsOrAScriptIsGiven) {
  EXPECT_EQ(refusal(R"([{"name": "a"}])"), "faults[0] must have either effects or a script");
  EXPECT_EQ(refusal(R"([{"effects": {}, "script": [{}, {}]}])"),
            "faults[0] must have either effects or a script");
  EXPECT_THAT(refusal(R"([{"script": [{}]}])"),
              StartsWith("faults[0].script must have at least two elements"));
  EXPECT_THAT(refusal(R"([{"effects": {}, "script": []}])"),
              StartsWith("faults[0].script must have at least two elements"));
}

TEST(FaultJson, AMemberGivenTwiceIsNamed) {
  EXPECT_THAT(
      refusal(R"({"faults": [{"effects": {}}, {"effects": {"status": 500, "status": 503}}]})"),
      StartsWith("faults[1].effects.status is given twice"));
  EXPECT_THAT(refusal(R"({"faults": [], "faults": []})"), StartsWith("faults is given twice"));
}

TEST(FaultJson, BrokenJsonIsNamedWithItsPlace) {
  EXPECT_THAT(refusal("[{]"), StartsWith("parse error at line 1, column 3"));
  EXPECT_THAT(refusal(""), StartsWith("parse error at line 1"));
  EXPECT_THAT(refusal("[] x"), StartsWith("parse error at line 1"));
  EXPECT_THAT(refusal(std::string("[]\0 x", 5)), StartsWith("a NUL byte"));
  EXPECT_THAT(refusal(std::string("[]\0", 3)), StartsWith("a NUL byte"));
  EXPECT_THAT(refusal("[{\"name\": \"\xff\"}]"), StartsWith("parse error at line 1"));
  EXPECT_NE(refusal(R"([{"match": {"probability": 1e999}, "effects": {}}])"), "");
}

// --- Sense --------------------------------------------------------------------------------------

struct Nonsense {
  std::string problem;  ///< How the message goes on after the fault's name.
  std::function<void(Fault&)> spoil;
};

Nonsense effects_of(FaultOperation operation, std::string problem, Effects effects) {
  return {"effects." + std::move(problem), [operation, effects](Fault& fault) {
            fault.match.operation = operation;
            fault.script = {effects};
          }};
}

Nonsense match_of(std::string problem, FaultMatch match) {
  return {"match." + std::move(problem), [match](Fault& fault) { fault.match = match; }};
}

std::vector<Nonsense> nonsense() {
  using enum FaultOperation;
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  constexpr auto beyond = longest_fault + 1ms;
  constexpr Delay some{.low = 1ms};
  return {
      {"name must have at most 100 bytes", [](Fault& f) { f.name = std::string(101, 'x'); }},
      {"script must have at least one element", [](Fault& f) { f.script.clear(); }},
      {"script[1].status must be",
       [](Fault& f) {
         f.script = {{}, {.ending = RespondWith{.status = 0}}};
       }},

      match_of("bucket must not be empty", {.bucket = ""}),
      match_of("key must not be empty", {.key = ""}),
      match_of("key must have at most 1024 bytes", {.key = std::string(1025, 'k')}),
      match_of("bucket cannot be matched with operation connect",
               {.operation = connect, .bucket = "b"}),
      match_of("key cannot be matched with operation connect", {.operation = connect, .key = "k"}),
      match_of("connection must be at least 1", {.connection = 0}),
      match_of("nth must be at least 1", {.nth = 0}),
      match_of("every must be at least 1", {.every = 0}),
      match_of("first must be at least 1", {.first = 0}),
      match_of("every cannot be given beside nth", {.nth = 1, .every = 1}),
      match_of("first cannot be given beside nth", {.nth = 1, .first = 1}),
      match_of("first cannot be given beside every", {.every = 1, .first = 1}),
      match_of("probability must be in (0, 1], not 0", {.probability = 0}),
      match_of("probability must be in (0, 1], not -0.5", {.probability = -0.5}),
      match_of("probability must be in (0, 1], not 2", {.probability = 2}),
      match_of("probability must be in (0, 1], not nan", {.probability = nan}),

      effects_of(any, "delay must be from 0ms to 24h, not -1ms", {.delay = Delay{.low = -1ms}}),
      effects_of(any, "delay must be from 0ms to 24h, not 86400001ms",
                 {.delay = Delay{.low = beyond}}),
      effects_of(any, "delay is fixed", {.delay = Delay{.high = 1ms}}),
      effects_of(any, "delay is fixed", {.delay = Delay{.sigma = 1}}),
      effects_of(any, "delay.low must not be above high",
                 {.delay = Delay{.kind = Delay::Kind::uniform, .low = 2ms, .high = 1ms}}),
      effects_of(any, "delay.low must be from 0ms",
                 {.delay = Delay{.kind = Delay::Kind::uniform, .low = -1ms, .high = 1ms}}),
      effects_of(any, "delay.high must be from 1ms",
                 {.delay = Delay{.kind = Delay::Kind::uniform}}),
      effects_of(any, "delay.high must be from 1ms to 24h",
                 {.delay = Delay{.kind = Delay::Kind::uniform, .high = beyond}}),
      effects_of(any, "delay.sigma goes with a median",
                 {.delay = Delay{.kind = Delay::Kind::uniform, .high = 1ms, .sigma = 1}}),
      effects_of(any, "delay.median must be from 1ms",
                 {.delay = Delay{.kind = Delay::Kind::lognormal, .sigma = 1}}),
      effects_of(any, "delay.sigma must be in (0, 10], not 0",
                 {.delay = Delay{.kind = Delay::Kind::lognormal, .low = 1ms}}),
      effects_of(any, "delay.sigma must be in (0, 10], not -1",
                 {.delay = Delay{.kind = Delay::Kind::lognormal, .low = 1ms, .sigma = -1}}),
      effects_of(any, "delay.sigma must be in (0, 10], not nan",
                 {.delay = Delay{.kind = Delay::Kind::lognormal, .low = 1ms, .sigma = nan}}),
      effects_of(
          any, "delay.high goes with low",
          {.delay = Delay{.kind = Delay::Kind::lognormal, .low = 1ms, .high = 1ms, .sigma = 1}}),

      effects_of(any, "status must be from 200 to 599, not 199",
                 {.ending = RespondWith{.status = 199}}),
      effects_of(any, "status must be from 200 to 599, not 600",
                 {.ending = RespondWith{.status = 600}}),
      effects_of(any, "mode must be from 0000 to 0777",
                 {.incident = Incident::change_mode, .mode = 01000}),
      effects_of(any, "lasting must be from 0ms to 24h",
                 {.incident = Incident::empty_segment, .lasting = beyond}),
      effects_of(
          any, "retry_after must be from 0s to 24h",
          {.ending = RespondWith{.status = 503, .retry_after = std::chrono::seconds::max()}}),
      effects_of(any, "retry_after must be from 0s to 24h",
                 {.ending = RespondWith{.status = 503, .retry_after = -1s}}),
      effects_of(any, "dribble must be from 1ms to 24h", {.dribble = 0ms}),
      effects_of(lease, "real_ttl must be from 1ms to 24h", {.real_ttl = 0ms}),
      effects_of(lease, "hold_longer must be from 1ms to 24h", {.hold_longer = beyond}),
      effects_of(any, "bytes_per_second must be at least 1", {.bytes_per_second = 0}),
      effects_of(lease, "poison must not be empty", {.poison = ""}),

      effects_of(any, "lasting needs incident empty_segment", {.lasting = 1s}),
      effects_of(any, "lasting needs incident empty_segment",
                 {.incident = Incident::unlink_segment, .lasting = 1s}),
      effects_of(any, "lasting is missing", {.incident = Incident::empty_segment}),
      effects_of(any, "mode needs incident change_mode", {.mode = 0600}),
      effects_of(any, "mode is missing", {.incident = Incident::change_mode}),
      effects_of(any, "body cannot go with status 204",
                 {.ending = RespondWith{.status = 204, .body = "{}"}}),
      effects_of(any, "body cannot go with status 304",
                 {.ending = RespondWith{.status = 304, .body = "{}"}}),

      effects_of(any, "close_after_bytes cannot go with reset",
                 {.ending = ResetConnection{}, .close_after_bytes = 0}),
      effects_of(any, "dribble cannot go with reset",
                 {.ending = ResetConnection{}, .dribble = 1ms}),
      effects_of(lease, "grant_defect cannot go with reset",
                 {.ending = ResetConnection{}, .grant_defect = GrantDefect::missing_id}),
      effects_of(any, "delay cannot go with never_answer",
                 {.delay = some, .ending = NeverRespond{}}),
      effects_of(any, "close_after_bytes cannot go with never_answer",
                 {.ending = NeverRespond{}, .close_after_bytes = 0}),
      effects_of(any, "dribble cannot go with never_answer",
                 {.ending = NeverRespond{}, .dribble = 1ms}),
      effects_of(lease, "grant_defect cannot go with never_answer",
                 {.ending = NeverRespond{}, .grant_defect = GrantDefect::missing_id}),
      effects_of(lease, "grant_defect cannot go with status",
                 {.ending = RespondWith{.status = 500}, .grant_defect = GrantDefect::missing_id}),
      effects_of(lease, "real_ttl cannot go with status",
                 {.ending = RespondWith{.status = 500}, .real_ttl = 1ms}),
      effects_of(lease, "forget_lease cannot go with status",
                 {.ending = RespondWith{.status = 500}, .forget_lease = true}),
      effects_of(lease, "evict_under_lease cannot go with status",
                 {.ending = RespondWith{.status = 500}, .evict_under_lease = true}),
      effects_of(lease, "poison cannot go with status",
                 {.ending = RespondWith{.status = 500}, .poison = "x"}),
      effects_of(lease, "hold_longer cannot go with status",
                 {.ending = RespondWith{.status = 500}, .hold_longer = 1ms}),
      effects_of(put, "delay cannot go with stop_reading_after",
                 {.delay = some, .ending = StopReading{0}}),
      effects_of(put, "close_after_bytes cannot go with stop_reading_after",
                 {.ending = StopReading{0}, .close_after_bytes = 1}),
      effects_of(put, "dribble cannot go with stop_reading_after",
                 {.ending = StopReading{0}, .dribble = 1ms}),
      effects_of(lease, "evict_under_lease cannot go with forget_lease",
                 {.forget_lease = true, .evict_under_lease = true}),
      effects_of(lease, "real_ttl cannot go with forget_lease",
                 {.real_ttl = 1ms, .forget_lease = true}),
      effects_of(lease, "real_ttl cannot go with evict_under_lease",
                 {.real_ttl = 1ms, .evict_under_lease = true}),
      effects_of(any, "delay cannot go with incident restart",
                 {.incident = Incident::restart, .delay = some}),
      effects_of(lease, "poison cannot go with incident restart",
                 {.incident = Incident::restart, .poison = "x"}),
      effects_of(connect, "delay cannot go with connections_above",
                 {.delay = some, .connections_above = 1}),
      effects_of(connect, "reset cannot go with connections_above",
                 {.ending = ResetConnection{}, .connections_above = 1}),
      effects_of(connect, "never_answer cannot go with connections_above",
                 {.ending = NeverRespond{}, .connections_above = 1}),
      effects_of(connect, "delay cannot go with leave_unaccepted",
                 {.delay = some, .leave_unaccepted = true}),
      effects_of(connect, "reset cannot go with leave_unaccepted",
                 {.ending = ResetConnection{}, .leave_unaccepted = true}),
      effects_of(connect, "never_answer cannot go with leave_unaccepted",
                 {.ending = NeverRespond{}, .leave_unaccepted = true}),

      effects_of(any,
                 "connections_above can be done to connect only, and this fault meets put, lease",
                 {.connections_above = 1}),
      effects_of(put, "leave_unaccepted can be done to connect only", {.leave_unaccepted = true}),
      effects_of(release, "grant_defect can be done to lease only, and this fault meets release",
                 {.grant_defect = GrantDefect::missing_id}),
      effects_of(put, "real_ttl can be done to lease only", {.real_ttl = 1ms}),
      effects_of(put, "forget_lease can be done to lease only", {.forget_lease = true}),
      effects_of(put, "evict_under_lease can be done to lease only", {.evict_under_lease = true}),
      effects_of(put, "poison can be done to lease only", {.poison = "x"}),
      effects_of(put, "hold_longer can be done to lease only", {.hold_longer = 1ms}),
      effects_of(lease, "stop_reading_after can be done to put, checkpoint_put only",
                 {.ending = StopReading{1}}),
      effects_of(any, "hold_longer can be done to lease only, and this fault meets put",
                 {.ending = StopReading{1}, .hold_longer = 1ms}),
      effects_of(connect, "incident can be done to put, lease, release, checkpoint_put, ",
                 {.incident = Incident::restart}),
      effects_of(connect, "status can be done to put, lease, release, checkpoint_put, ",
                 {.ending = RespondWith{.status = 500}}),
      effects_of(connect, "close_after_bytes can be done to", {.close_after_bytes = 1}),
      effects_of(connect, "dribble can be done to", {.dribble = 1ms}),
      effects_of(connect, "bytes_per_second can be done to", {.bytes_per_second = 1}),
      {"script[1].poison can be done to lease only, and this fault meets put",
       [](Fault& f) {
         f.script = {{.ending = StopReading{1}}, {.poison = "x"}};
       }},
  };
}

TEST(ValidateFault, NonsenseIsRefusedByFaultAndField) {
  for (const auto& [problem, spoil] : nonsense()) {
    SCOPED_TRACE(problem);
    Fault fault{.name = "odd", .script = {Effects{}}};
    ASSERT_TRUE(validate_fault(fault));
    spoil(fault);
    const auto refused = validate_fault(fault);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_option);
    EXPECT_THAT(refused.error().message, AllOf(StartsWith("fault '"), HasSubstr("': " + problem)));
  }
}

TEST(ValidateFault, ANameWithControlCharactersIsRefusedInOneLine) {
  const auto refused = validate_fault({.name = "a\nb", .script = {Effects{}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "fault 'a\\nb': name must have no control characters");
}

TEST(ValidateFault, BrokenProtocolOnPurposeIsAllowed) {
  for (const int status : {200, 201, 204, 302, 409, 599}) {
    EXPECT_TRUE(validate_fault({.script = {{.ending = RespondWith{.status = status}}}})) << status;
  }
  EXPECT_TRUE(
      validate_fault({.script = {{.ending = RespondWith{.status = 200, .body = "no JSON"}}}}));
  EXPECT_TRUE(
      validate_fault({.script = {{.delay = Delay{.low = 1s}, .ending = ResetConnection{}}}}));
  EXPECT_TRUE(validate_fault({.script = {{.close_after_bytes = 0}}}));
  EXPECT_TRUE(validate_fault({.script = {{.evict_under_lease = true, .poison = "x"}}}));
  EXPECT_TRUE(validate_fault({.script = {{.ending = NeverRespond{}, .real_ttl = 1ms}}}));
}

// --- Writing ------------------------------------------------------------------------------------

TEST(FaultJson, WritesNoMoreThanWhatIsSaid) {
  EXPECT_EQ(fault_to_json({.name = "a", .script = {{.delay = Delay{.low = 250ms}}}},
                          {.matched = 3, .fired = 1}),
            R"({"counts":{"fired":1,"matched":3},"effects":{"delay":"250ms"},"name":"a"})");
  EXPECT_EQ(written({.script = {{}, {.ending = ResetConnection{}}}}),
            json::parse(R"({"script":[{},{"reset":true}]})"));
}

TEST(FaultJson, BytesThatAreNoUtf8AreReplaced) {
  const auto value = written({.script = {{.poison = "a\xff"
                                                    "b"}}});
  EXPECT_EQ(value["effects"]["poison"],
            "a\xef\xbf\xbd"
            "b");
}

TEST(FaultJson, EveryEffectIsWritten) {
  const Effects all{
      .incident = Incident::empty_segment,
      .lasting = 1s,
      .mode = 0600,
      .delay = Delay{},
      .ending = RespondWith{.status = 500, .body = "", .retry_after = 0s},
      .close_after_bytes = 0,
      .dribble = 1ms,
      .bytes_per_second = 1,
      .grant_defect = GrantDefect::truncated_json,
      .real_ttl = 1ms,
      .forget_lease = true,
      .evict_under_lease = true,
      .poison = "x",
      .hold_longer = 1ms,
      .connections_above = 0,
      .leave_unaccepted = true,
  };
  // Does not compile once Effects has another field: add it here, above and to `changes`.
  const auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16] = all;
  EXPECT_EQ(f1, Incident::empty_segment);
  EXPECT_EQ(written({.script = {all}})["effects"].size(), 18u);
  const auto ending = [](const Ending& chosen) {
    return written({.script = {{.ending = chosen}}})["effects"];
  };
  static_assert(std::variant_size_v<Ending> == 6, "add it here and to `changes`");
  EXPECT_EQ(ending(Served{}), json::object());
  EXPECT_EQ(ending(RespondWith{.status = 404}), json({{"status", 404}}));
  EXPECT_EQ(ending(ResetConnection{}), json({{"reset", true}}));
  EXPECT_EQ(ending(NeverRespond{}), json({{"never_answer", true}}));
  EXPECT_EQ(ending(StopReading{0}), json({{"stop_reading_after", 0}}));
  EXPECT_EQ(ending(ResetReading{0}), json({{"reset_after", 0}}));
}

TEST(FaultJson, ARequestEndsInOneWay) {
  const auto effects = [](std::string_view members) {
    return refusal(R"([{"effects": {)" + std::string(members) + "}}]");
  };
  const std::map<std::string, std::string> endings{{"status", "503"},
                                                   {"reset", "true"},
                                                   {"never_answer", "true"},
                                                   {"stop_reading_after", "1"},
                                                   {"reset_after", "1"}};
  for (const auto& [first, value] : endings) {
    for (const auto& [second, other] : endings) {
      if (first >= second) continue;
      EXPECT_EQ(effects(fmt::format(R"("{}": {}, "{}": {})", second, other, first, value)),
                fmt::format("faults[0].effects.{} cannot go with {}: a request ends in one way",
                            second, first));
    }
  }
  EXPECT_EQ(effects(R"("body": "{}")"), "faults[0].effects.body needs a status to go with");
  EXPECT_EQ(effects(R"("retry_after": "1s")"),
            "faults[0].effects.retry_after needs a status to go with");
  EXPECT_THAT(effects(R"("body": "{}", "reset": true)"),
              StartsWith("faults[0].effects.reset cannot go with status"));
  EXPECT_EQ(effects(R"("status": 503, "reset": false, "never_answer": false)"), "");
}

/// Ways to change a fault, one at least for each field. What becomes invalid is not kept.
std::vector<std::function<void(Fault&)>> changes() {
  const auto number = [] { return *rc::gen::arbitrary<std::uint64_t>(); };
  const auto small = [] { return *rc::gen::inRange<std::uint64_t>(0, 10); };
  const auto time = [] {
    return milliseconds(*rc::gen::inRange<milliseconds::rep>(0, 86'400'000));
  };
  const auto fraction = [] { return *rc::gen::inRange(1, 1'000'000) / 1'000'000.0; };
  const auto text = [] {
    std::string joined;
    for (const char* piece : *rc::gen::container<std::vector<const char*>>(
             rc::gen::element("a", "*", "?", "/", "\"", "\\", "\n", "\x7f", "é", "日", "😀", "0"))) {
      joined += piece;
    }
    return joined;
  };
  const auto effects = [](Fault& fault) -> Effects& {
    return fault.script[*rc::gen::inRange<std::size_t>(0, fault.script.size())];
  };
  const auto operation = [] { return static_cast<FaultOperation>(*rc::gen::inRange(0, 5)); };
  const auto defect = [] { return static_cast<GrantDefect>(*rc::gen::inRange(0, 10)); };
  const auto incident = [] { return static_cast<Incident>(*rc::gen::inRange(0, 6)); };
  return {
      [=](Fault& f) { f.name = text(); },
      [=](Fault& f) { f.match.operation = operation(); },
      [=](Fault& f) { f.match.bucket = text(); },
      [=](Fault& f) { f.match.key = text(); },
      [=](Fault& f) { f.match.connection = number(); },
      [=](Fault& f) { f.match.nth = number(); },
      [=](Fault& f) { f.match.every = number(); },
      [=](Fault& f) { f.match.first = small(); },
      [=](Fault& f) { f.match.probability = fraction(); },
      [=](Fault& f) { f.match.seed = number(); },
      [=](Fault& f) { f.script.emplace_back(); },
      [=](Fault& f) { effects(f).incident = incident(); },
      [=](Fault& f) { effects(f) = {.incident = Incident::empty_segment, .lasting = time()}; },
      [=](Fault& f) {
        effects(f) = {.incident = Incident::change_mode, .mode = *rc::gen::inRange(0u, 01000u)};
      },
      [=](Fault& f) { effects(f).delay = Delay{.low = time()}; },
      [=](Fault& f) {
        effects(f).delay = Delay{.kind = Delay::Kind::uniform, .low = time(), .high = time()};
      },
      [=](Fault& f) {
        effects(f).delay =
            Delay{.kind = Delay::Kind::lognormal, .low = time(), .sigma = 10 * fraction()};
      },
      [=](Fault& f) { effects(f).ending = RespondWith{.status = *rc::gen::inRange(200, 600)}; },
      [=](Fault& f) {
        effects(f).ending =
            RespondWith{.body = text(), .retry_after = std::chrono::seconds(small())};
      },
      [=](Fault& f) { effects(f).ending = ResetConnection{}; },
      [=](Fault& f) { effects(f).ending = NeverRespond{}; },
      [=](Fault& f) { effects(f).close_after_bytes = number(); },
      [=](Fault& f) { effects(f).dribble = time(); },
      [=](Fault& f) { effects(f).ending = StopReading{small()}; },
      [=](Fault& f) { effects(f).ending = ResetReading{small()}; },
      [=](Fault& f) { effects(f).bytes_per_second = number(); },
      [=](Fault& f) { effects(f).grant_defect = defect(); },
      [=](Fault& f) { effects(f).real_ttl = time(); },
      [=](Fault& f) { effects(f).forget_lease = true; },
      [=](Fault& f) { effects(f).evict_under_lease = true; },
      [=](Fault& f) { effects(f).poison = text(); },
      [=](Fault& f) { effects(f).hold_longer = time(); },
      [=](Fault& f) { effects(f).connections_above = *rc::gen::arbitrary<std::uint32_t>(); },
      [=](Fault& f) { effects(f).leave_unaccepted = true; },
  };
}

RC_GTEST_PROP(FaultJson, WhatIsWrittenIsReadBack, ()) {
  static const auto all_changes = changes();
  const auto operation = static_cast<FaultOperation>(*rc::gen::inRange(0, 5));
  Fault fault{.match = {.operation = operation}, .script = {Effects{}}};
  int kept = 0;
  for (const auto& change : *rc::gen::container<std::vector<std::size_t>>(
           rc::gen::inRange<std::size_t>(0, all_changes.size()))) {
    Fault changed = fault;
    all_changes[change](changed);
    if (!validate_fault(changed)) continue;
    fault = changed;
    ++kept;
  }
  RC_CLASSIFY(kept >= 8, "eight fields or more");
  const auto again = faults_from_json("[" + written(fault).dump() + "]");
  RC_ASSERT(again.has_value());
  RC_ASSERT(*again == std::vector{fault});
}

}  // namespace
}  // namespace hyperpod::emulator::faults
