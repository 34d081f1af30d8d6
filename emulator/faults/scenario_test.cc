// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::faults::scenario_test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

namespace fs = std::filesystem;

/// A file that is gone with the object.
class ScratchFile {
 public:
  ScratchFile(std::string_view name, std::string_view text)
      : path_(fs::path(testing::TempDir()) / (std::to_string(getpid()) + "-" + std::string(name))) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~ScratchFile() { fs::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

Result<std::vector<Fault>> load_text(std::string_view name, std::string_view text) {
  return load_scenario(ScratchFile(name, text).path());
}

std::vector<Fault> load_valid(std::string_view name, std::string_view text) {
  const auto faults = load_text(name, text);
  EXPECT_TRUE(faults) << faults.error().message;
  return faults.value_or(std::vector<Fault>{});
}

/// The message of the error, without the name of the file.
std::string refusal(std::string_view text, std::string_view name = "s.yaml") {
  const ScratchFile file(name, text);
  const auto faults = load_scenario(file.path());
  if (faults) return "";
  EXPECT_EQ(faults.error().code, ErrorCode::invalid_option);
  EXPECT_THAT(faults.error().message, StartsWith(file.path() + ": "));
  return faults.error().message.substr(file.path().size() + 2);
}

// --- Files --------------------------------------------------------------------------------------

constexpr std::string_view in_json = R"({
  "description": "why",
  "faults": [
    {"name": "slow", "match": {"operation": "lease", "probability": 0.5, "nth": 3},
     "effects": {"delay": "250ms", "incident": "change_mode", "mode": "0640"}},
    {"script": [{"status": 500}, {}, {"delay": {"median": "20ms", "sigma": 0.5}, "reset": true}]}
  ]})";

constexpr std::string_view in_yaml = R"(# A comment.
description: why
faults:
  - name: slow
    match: {operation: lease, probability: 0.5, nth: 3}
    effects: {delay: 250ms, incident: change_mode, mode: 0640}
  - script:
      - status: 500
      - {}
      - delay: {median: 20ms, sigma: 0.5}
        reset: true
)";

TEST(Scenario, YamlAndJsonAreOneSchema) {
  const auto faults = load_valid("s.json", in_json);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0].script[0].mode, 0640u);
  EXPECT_EQ(faults[1].script[2].delay,
            (Delay{.kind = Delay::Kind::lognormal, .low = 20ms, .sigma = 0.5}));
  EXPECT_EQ(load_valid("s.yaml", in_yaml), faults);
  EXPECT_EQ(load_valid("s.yml", in_yaml), faults);
  EXPECT_EQ(load_valid("s.yaml", in_json), faults);  // JSON is YAML as well
}

TEST(Scenario, AQuotedScalarIsAString) {
  const auto faults = load_valid("s.yaml", R"(faults: [{name: "12", effects: {poison: 'true'}}])");
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].name, "12");
  EXPECT_EQ(faults[0].script[0].poison, "true");
  EXPECT_THAT(refusal("faults: [{name: 12, effects: {}}]"),
              StartsWith("faults[0].name must be a string, not '12'"));
  EXPECT_THAT(refusal("faults: [{effects: {reset: 'true'}}]"),
              StartsWith("faults[0].effects.reset must be true or false"));
}

TEST(Scenario, AnAnchorStandsForItsValue) {
  const auto faults = load_valid("s.yaml", R"(
faults:
  - {name: a, match: &leases {operation: lease, key: "x*"}, effects: {status: 404}}
  - {name: b, match: *leases, effects: {status: 504}}
)");
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0].match, faults[1].match);
  EXPECT_EQ(faults[1].match.key, "x*");
}

TEST(Scenario, AnErrorBeginsWithTheFileAndNamesTheMember) {
  EXPECT_THAT(refusal("faults: [{effects: {}}, {match: {buket: b}, effects: {}}]"),
              StartsWith("faults[1].match.buket is unknown"));
  EXPECT_THAT(refusal(R"({"faults": [{"effects": {"sttus": 500}}]})", "s.json"),
              StartsWith("faults[0].effects.sttus is unknown"));
  EXPECT_THAT(refusal("faults: [{name: a, effects: {}}, {effects: {}}, {name: a, effects: {}}]"),
              StartsWith("faults[2].name 'a' is taken"));
  EXPECT_THAT(refusal("faults: [{effects: {status: 99}}]"),
              StartsWith("faults[0].effects.status must be from 200 to 599, not 99"));
}

TEST(Scenario, BrokenYamlIsNamedWithItsPlace) {
  EXPECT_THAT(refusal("faults:\n  - name: [a\n"), AllOf(StartsWith("line "), HasSubstr("YAML")));
  EXPECT_THAT(refusal("faults:\n  - {effects: *nothing}\n"), StartsWith("line 2, column "));
  EXPECT_THAT(refusal(""), HasSubstr("0 YAML documents"));
  EXPECT_THAT(refusal("faults: []\n---\nfaults: []\n"), HasSubstr("2 YAML documents"));
}

TEST(Scenario, NothingIsReadAsFarAsANulByte) {
  EXPECT_THAT(refusal(std::string("{\"faults\": []}\0 x", 17), "s.json"), StartsWith("a NUL byte"));
  // In a plain scalar yaml-cpp takes one for an escape: this is 500 and a NUL.
  EXPECT_THAT(refusal("faults: [{effects: {status: 500" + std::string(1, '\0') + "0}}]"),
              StartsWith("faults[0].effects.status must be"));
}

TEST(Scenario, AYamlMemberGivenTwiceIsRefused) {
  EXPECT_THAT(refusal("faults:\n  - {effects: {status: 500, status: 503}}\n"),
              StartsWith("faults[0].effects.status is given twice"));
}

TEST(Scenario, AYamlTagIsRefused) {
  EXPECT_THAT(refusal("faults: [{effects: {body: !!binary aGk=, status: 500}}]"),
              AllOf(StartsWith("faults[0].effects.body has the tag"), HasSubstr("binary")));
}

TEST(Scenario, AYamlKeyThatIsNoTextIsRefused) {
  EXPECT_THAT(refusal("faults: [{[a]: 1}]"), StartsWith("faults[0] has a key that is not text"));
}

TEST(Scenario, AliasesOfAliasesCannotMultiplyWithoutEnd) {
  std::string bomb = "a0: &a0 [x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::vector<std::string> ten(10, fmt::format("*a{}", i - 1));
    bomb += fmt::format("a{0}: &a{0} [{1}]\n", i, fmt::join(ten, ", "));
  }
  EXPECT_THAT(refusal(bomb), HasSubstr("more than 100000 values"));
}

TEST(Scenario, AnAliasOfWhatHoldsItIsRefused) {
  EXPECT_THAT(refusal("faults: &faults [*faults]\n"), HasSubstr("deeper than 16 levels"));
}

TEST(Scenario, ADeepDocumentIsRefused) {
  constexpr std::size_t levels = 100'000;
  EXPECT_NE(refusal(std::string(levels, '[') + std::string(levels, ']')), "");
  EXPECT_THAT(refusal(std::string(levels, '[') + std::string(levels, ']'), "s.json"),
              HasSubstr("deeper than 16 levels"));
}

TEST(Scenario, AFileThatCannotBeReadIsNamed) {
  const auto missing = load_scenario("/nonexistent/s.yaml");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message,
              AllOf(StartsWith("/nonexistent/s.yaml: "), HasSubstr("No such file")));
  EXPECT_THAT(refusal(std::string((1u << 20) + 1, '#')), HasSubstr("larger than 1MiB"));
}

TEST(Scenario, AFileOfAnotherKindIsRefused) {
  EXPECT_THAT(refusal("faults: []", "s.toml"), StartsWith("must end in .yaml, .yml or .json"));
}

// --- The scenarios that come along --------------------------------------------------------------

/// What the first faults of a shipped scenario do to requests that come one after another.
class ShippedScenario {
 public:
  explicit ShippedScenario(const std::string& name) {
    const auto faults =
        load_scenario(std::string(HYPERPOD_FIXTURES "/scenarios/") + name + ".yaml");
    EXPECT_TRUE(faults) << faults.error().message;
    EXPECT_TRUE(faults && plan_.replace(*faults));
  }

  Effects put() { return next({.operation = FaultOperation::put, .bucket = "b", .key = "k"}); }
  Effects lease() { return next({.operation = FaultOperation::lease, .bucket = "b", .key = "k"}); }
  Effects release() {
    return next({.operation = FaultOperation::release, .bucket = "b", .key = "k"});
  }
  /// Effects of the connection that makes `open` of them; nothing if it is let in.
  std::optional<Effects> connect(std::uint64_t open) {
    const auto fired = plan_.decide(
        {.operation = FaultOperation::connect, .connection = open, .open_connections = open});
    return fired ? std::optional(fired->effects) : std::nullopt;
  }
  /// Of the last request.
  std::chrono::milliseconds delay() const { return delay_; }

 private:
  Effects next(const FaultSubject& subject) {
    const auto fired = plan_.decide(subject);
    delay_ = fired ? fired->delay : 0ms;
    return fired ? fired->effects : Effects{};
  }

  FaultPlan plan_;
  std::chrono::milliseconds delay_{};
};

const Effects unharmed;

Ending responding(int status) { return RespondWith{.status = status}; }

TEST(ShippedScenarios, EachIsReadableAndSaysWhatItShows) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(HYPERPOD_FIXTURES "/scenarios")) {
    SCOPED_TRACE(entry.path());
    ++files;
    const auto faults = load_scenario(entry.path());
    ASSERT_TRUE(faults) << faults.error().message;
    EXPECT_FALSE(faults->empty());
    FaultPlan plan;
    EXPECT_TRUE(plan.replace(*faults));
    for (const Fault& fault : *faults) EXPECT_NE(fault.name, "");
    std::ifstream file(entry.path());
    const std::string text(std::istreambuf_iterator<char>(file), {});
    EXPECT_THAT(text, AllOf(StartsWith("# "), HasSubstr("\n#\n# "), HasSubstr("\ndescription: ")));
  }
  EXPECT_GE(files, 20);
}

TEST(ShippedScenarios, TrainingsMeetTheirCheckpointsAlone) {
  const auto met = [](const std::string& name, FaultOperation operation, std::string key,
                      int requests) {
    FaultPlan plan;
    const auto faults = load_scenario(HYPERPOD_FIXTURES "/scenarios/training_" + name + ".yaml");
    EXPECT_TRUE(faults && plan.replace(*faults));
    EXPECT_FALSE(plan.decide({.operation = FaultOperation::put, .bucket = "b", .key = key}));
    std::string hits;
    for (int i = 0; i < requests; ++i) {
      hits += plan.decide({.operation = operation, .bucket = "run", .key = key}) ? 'x' : '.';
    }
    return hits;
  };
  EXPECT_EQ(met("rank_dies", FaultOperation::checkpoint_put, "1/7", 3), ".x.");
  EXPECT_EQ(met("save_overtaken", FaultOperation::checkpoint_put, "1/7", 3), "x..");
  EXPECT_EQ(met("restore_meets_half_a_step", FaultOperation::checkpoint_get, "1/7", 3), "xxx");
  EXPECT_EQ(met("restore_meets_half_a_step", FaultOperation::checkpoint_get, "0/7", 3), "...");
  EXPECT_EQ(met("memory_full", FaultOperation::checkpoint_put, "1/7", 3), "xxx");
  EXPECT_EQ(met("daemon_restarts", FaultOperation::checkpoint_get, "1/7", 3), "x..");
}

TEST(ShippedScenarios, ASegmentIsHarmedOnceAtTheRequestNamed) {
  const auto second = [](const std::string& name) {
    ShippedScenario scenario(name);
    EXPECT_EQ(scenario.put(), unharmed);
    EXPECT_EQ(scenario.lease(), unharmed);
    const Effects effects = scenario.lease();
    EXPECT_EQ(scenario.lease(), unharmed);
    return effects;
  };
  EXPECT_EQ(second("segment_unlinked"), (Effects{.incident = Incident::unlink_segment}));
  EXPECT_EQ(second("segment_empty_for_a_while"),
            (Effects{.incident = Incident::empty_segment, .lasting = 2s}));
  EXPECT_EQ(second("segment_recreated"), (Effects{.incident = Incident::recreate_segment}));
  ShippedScenario restarts("daemon_restarts");
  EXPECT_EQ(restarts.lease(), unharmed);
  EXPECT_EQ(restarts.lease(), unharmed);
  EXPECT_EQ(restarts.lease(), (Effects{.incident = Incident::restart}));
  EXPECT_EQ(restarts.lease(), unharmed);
  ShippedScenario unreadable("segment_unreadable");
  EXPECT_EQ(unreadable.put(), (Effects{.incident = Incident::change_mode, .mode = 0}));
  EXPECT_EQ(unreadable.put(), unharmed);
}

TEST(ShippedScenarios, EveryLeaseOrReleaseMeetsItsFault) {
  const auto every_lease = [](const std::string& name) {
    ShippedScenario scenario(name);
    EXPECT_EQ(scenario.put(), unharmed);
    EXPECT_EQ(scenario.release(), unharmed);
    const Effects effects = scenario.lease();
    EXPECT_EQ(scenario.lease(), effects);
    return effects;
  };
  EXPECT_TRUE(every_lease("lease_forgotten").forget_lease);
  EXPECT_EQ(every_lease("lease_expires_early"), (Effects{.real_ttl = 20ms, .poison = "EXPIRED-"}));
  EXPECT_EQ(every_lease("lease_arrives_late"), (Effects{.delay = Delay{.low = 1500ms}}));
  EXPECT_EQ(every_lease("bytes_poisoned_under_lease"),
            (Effects{.evict_under_lease = true, .poison = "POISONED"}));
  EXPECT_EQ(every_lease("lease_never_answered").ending, Ending(NeverRespond{}));
  EXPECT_EQ(every_lease("answer_dribbled"), (Effects{.dribble = 100ms}));
  EXPECT_EQ(every_lease("held_past_timeout"), (Effects{.hold_longer = 600ms}));

  const auto every_release = [](const std::string& name) {
    ShippedScenario scenario(name);
    EXPECT_EQ(scenario.lease(), unharmed);
    EXPECT_EQ(scenario.release(), scenario.release());
    return scenario.release();
  };
  EXPECT_EQ(every_release("release_refused"), (Effects{.ending = RespondWith{.status = 500}}));
  EXPECT_EQ(every_release("release_lost"), (Effects{.ending = RespondWith{.status = 200}}));
}

TEST(ShippedScenarios, TheFirstOfItsKindMeetsItsFault) {
  ShippedScenario gone("object_gone_after_lookup");
  EXPECT_TRUE(gone.lease().evict_under_lease);
  EXPECT_EQ(gone.lease(), unharmed);
  ShippedScenario orphaned("lease_orphaned");
  EXPECT_EQ(orphaned.lease().ending, Ending(ResetConnection{}));
  EXPECT_EQ(orphaned.lease(), unharmed);
  ShippedScenario stalls("put_stalls");
  EXPECT_EQ(stalls.put(), (Effects{.ending = StopReading{100}}));
  EXPECT_EQ(stalls.put(), unharmed);
  ShippedScenario reset("connections_reset_then_fine");
  for (const bool expected : {true, true, true, true, false}) {
    EXPECT_EQ(reset.lease().ending == Ending(ResetConnection{}), expected);
  }
}

TEST(ShippedScenarios, MissesComeInBothForms) {
  ShippedScenario misses("lookups_all_miss");
  for (const int status : {404, 504, 404, 504})
    EXPECT_EQ(misses.lease().ending, responding(status));
  EXPECT_EQ(misses.put(), unharmed);
}

TEST(ShippedScenarios, ABatchFailsInPart) {
  ShippedScenario batch("batch_partly_fails");
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(batch.lease(), unharmed);
    EXPECT_EQ(batch.lease().ending, responding(404));
    EXPECT_EQ(batch.lease().close_after_bytes, 30u);
    EXPECT_EQ(batch.lease().ending, responding(500));
  }
}

TEST(ShippedScenarios, EveryDefectOfAGrantComesOnce) {
  ShippedScenario lies("grants_malformed");
  for (int defect = 0; defect <= static_cast<int>(GrantDefect::wrong_total); ++defect) {
    EXPECT_EQ(lies.lease().grant_defect, static_cast<GrantDefect>(defect));
  }
  EXPECT_EQ(lies.lease(), unharmed);
}

TEST(ShippedScenarios, ConnectionsAreTurnedAwayAboveTheirLimit) {
  ShippedScenario refused("connections_refused");
  EXPECT_FALSE(refused.connect(8));
  EXPECT_EQ(refused.connect(9), (Effects{.connections_above = 8}));
  ShippedScenario unaccepted("connections_unaccepted");
  EXPECT_FALSE(unaccepted.connect(8));
  EXPECT_EQ(unaccepted.connect(9), (Effects{.connections_above = 8, .leave_unaccepted = true}));
  ShippedScenario absent("daemon_absent");
  EXPECT_EQ(absent.connect(1), (Effects{.connections_above = 0}));
}

TEST(ShippedScenarios, AnOverloadedDaemonRefusesSomeAndServesSome) {
  ShippedScenario overloaded("daemon_overloaded");
  std::array<int, 2> outcomes{};
  for (int i = 0; i < 20; ++i) {
    const Effects effects = overloaded.lease();
    ++outcomes[effects == Effects{.ending = RespondWith{.status = 503, .retry_after = 1s}}];
  }
  EXPECT_GE(std::ranges::min(outcomes), 5);
}

TEST(ShippedScenarios, AStarvedDaemonIsLateWithEverything) {
  ShippedScenario starved("daemon_starved");
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(starved.put().delay);
    EXPECT_GE(starved.delay(), 2s);
    EXPECT_LE(starved.delay(), 5s);
    EXPECT_TRUE(starved.lease().delay);
    EXPECT_TRUE(starved.release().delay);
  }
}

}  // namespace
}  // namespace hyperpod::emulator::faults::scenario_test
