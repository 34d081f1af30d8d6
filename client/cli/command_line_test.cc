// SPDX-License-Identifier: Apache-2.0
#include "command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exit_code.h"

namespace hyperpod::client::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Parsed parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "hyperpod-kv");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

template <class Command>
Command command(const std::vector<const char*>& arguments) {
  const auto parsed = parse(arguments);
  if (const auto* early = std::get_if<EarlyExit>(&parsed)) {
    ADD_FAILURE() << early->text;
    return {};
  }
  return std::get<Command>(std::get<CommandLine>(parsed).command);
}

std::string problem(const std::vector<const char*>& arguments) {
  const auto parsed = parse(arguments);
  const auto* early = std::get_if<EarlyExit>(&parsed);
  if (early == nullptr) {
    ADD_FAILURE() << "accepted";
    return {};
  }
  EXPECT_EQ(early->code, exit_usage);
  EXPECT_EQ(std::ranges::count(early->text, '\n'), 1) << early->text;
  EXPECT_THAT(early->text, AllOf(StartsWith("hyperpod-kv: "), EndsWith("--help)\n")));
  return early->text;
}

std::string help(const std::vector<const char*>& arguments) {
  const auto parsed = parse(arguments);
  const auto* early = std::get_if<EarlyExit>(&parsed);
  if (early == nullptr) return {};
  EXPECT_EQ(early->code, exit_hit);
  return early->text;
}

TEST(CommandLine, NamesTheNearestCommandOrOption) {
  EXPECT_THAT(problem({"gte", "key"}), HasSubstr("no command 'gte'; did you mean get?"));
  EXPECT_THAT(problem({"--url", "h:1", "docter"}), HasSubstr("did you mean doctor?"));
  EXPECT_THAT(problem({"frobnicate"}),
              AllOf(HasSubstr("no command 'frobnicate'"), Not(HasSubstr("did you mean"))));
  EXPECT_THAT(problem({"--buckt", "b", "get", "key"}),
              HasSubstr("no option --buckt; did you mean --bucket?"));
  EXPECT_THAT(problem({"bench", "--sise=4KiB"}), HasSubstr("did you mean --size?"));
  EXPECT_THAT(problem({"bench", "--sise=4KiB"}), HasSubstr("hyperpod-kv bench --help"));
}

TEST(CommandLine, SaysWhatIsMissingOrWrong) {
  EXPECT_THAT(problem({}), HasSubstr("name a command"));
  EXPECT_THAT(problem({"get"}), HasSubstr("KEY"));
  EXPECT_THAT(problem({"put", "key"}), HasSubstr("FILE"));
  EXPECT_THAT(problem({"get", "key", "file", "more"}), HasSubstr("more"));
  EXPECT_THAT(problem({"--url"}), HasSubstr("--url"));
  EXPECT_THAT(problem({"bench", "--read-share", "2"}), HasSubstr("--read-share"));
  EXPECT_THAT(problem({"--log-level", "loud", "get", "key"}), HasSubstr("loud"));
  EXPECT_THAT(problem({"--wait-ms", "x", "get", "key"}), HasSubstr("--wait-ms"));
  EXPECT_THAT(problem({"get\n\x1b[31m"}), Not(HasSubstr("\x1b")));
}

TEST(CommandLine, AnEmptyValueIsNotTheArgumentThatFollows) {
  const auto parsed = parse({"--bucket=", "--url=h:1", "exists", "get", "key"});
  ASSERT_TRUE(std::holds_alternative<CommandLine>(parsed));
  EXPECT_EQ(std::get<CommandLine>(parsed).bucket, "");
  EXPECT_THAT(command<ExistsCommand>({"--bucket=", "exists", "get", "key"}).keys,
              ElementsAre("get", "key"));
  EXPECT_THAT(problem({"--wait-ms=", "get", "key"}), HasSubstr("'' is not a whole number"));
}

TEST(CommandLine, ReadsWholeNumbersAsDecimal) {
  const auto waits = [](const char* text) {
    const auto parsed = parse({"--wait-ms", text, "get", "key"});
    return std::get<CommandLine>(parsed).wait;
  };
  EXPECT_EQ(waits("01000"), 1000ms);
  EXPECT_EQ(waits("0"), 0ms);
  EXPECT_EQ(command<BenchCommand>({"bench", "--threads", "010"}).threads, 10u);
  for (const char* text : {"-1", "0x10", "1.5", "abc"}) {
    EXPECT_THAT(problem({"--wait-ms", text, "get", "key"}),
                HasSubstr(std::string("--wait-ms '") + text +
                          "' is not a whole number from 0 to 4294967295"));
  }
}

TEST(CommandLine, NamesTheRangeOfANumber) {
  const auto refused = [](const std::vector<const char*>& arguments, const char* range) {
    EXPECT_THAT(problem(arguments), HasSubstr(std::string(arguments[arguments.size() - 2]) + " '" +
                                              arguments.back() + "' is not a " + range));
  };
  refused({"get", "key", "--wait-ms", "99999999999"}, "whole number from 0 to 4294967295");
  refused({"get", "key", "--timeout-ms", "0"}, "whole number from 1 to 4294967295");
  refused({"bench", "--workers", "0"}, "whole number from 1 to 64");
  refused({"bench", "--threads", "257"}, "whole number from 1 to 256");
  refused({"bench", "--keys", "4294967297"}, "whole number from 1 to 4294967296");
  refused({"bench", "--read-share", "2"}, "number from 0 to 1");
  refused({"bench", "--read-share", "nan"}, "number from 0 to 1");
  refused({"bench", "--duration", "25h"}, "duration from 1ms to 24h");
  refused({"bench", "--size", "1"}, "size from 8 to 1TiB");
  refused({"doctor", "--workers", "1025"}, "whole number from 1 to 1024");
  refused({"checkpoint", "latest", "r", "--retries", "101"}, "whole number from 0 to 100");
  refused({"checkpoint", "latest", "r", "--limit", "0"},
          "whole number from 1 to 18446744073709551615");
  EXPECT_EQ(command<BenchCommand>({"bench", "--read-share", "0.25"}).read_share, 0.25);
  EXPECT_EQ(command<BenchCommand>({"bench", "--keys", "4294967296"}).keys, 4294967296u);
}

TEST(CommandLine, TellsAnOptionThatIsGivenTwice) {
  EXPECT_THAT(problem({"--url", "a:1", "--url", "b:1", "get", "key"}),
              HasSubstr(": --url is given twice ("));
  EXPECT_THAT(problem({"bench", "--size", "8", "--keys", "1", "--size", "9"}),
              HasSubstr(": --size is given twice ("));
  EXPECT_THAT(problem({"checkpoint", "latest", "r", "--limit", "1", "--limit", "2"}),
              HasSubstr(": --limit is given twice ("));
}

TEST(CommandLine, AnUnknownCommandHasNoHelp) {
  EXPECT_THAT(problem({"lease", "--help"}), HasSubstr("there is no command 'lease'"));
  EXPECT_THAT(problem({"--help", "docter"}), HasSubstr("did you mean doctor?"));
  EXPECT_THAT(problem({"checkpoint", "frobnicate", "-h"}),
              HasSubstr("there is no command 'frobnicate'"));
}

TEST(CommandLine, RefusesAKeyThatIsNotUtf8) {
  EXPECT_THAT(problem({"get", "a\xff"}), HasSubstr("'a\\xff' is not UTF-8"));
  EXPECT_THAT(problem({"put", "\xc3", "file"}), HasSubstr("is not UTF-8"));
  EXPECT_THAT(problem({"exists", "key", "\xed\xa0\x80"}), HasSubstr("is not UTF-8"));
  EXPECT_EQ(command<GetCommand>({"get", "ü\n"}).key, "ü\n");
}

TEST(CommandLine, ReadsSizesAndDurations) {
  const auto size = [](const char* text) {
    return command<BenchCommand>({"bench", "--size", text}).object_bytes;
  };
  EXPECT_EQ(size("4096"), 4096u);
  EXPECT_EQ(size("64KiB"), 65536u);
  EXPECT_EQ(size("64kb"), 65536u);
  EXPECT_EQ(size("1.5M"), 1572864u);
  const auto duration = [](const char* text) {
    return command<BenchCommand>({"bench", "--duration", text}).duration;
  };
  EXPECT_EQ(duration("3"), 3s);
  EXPECT_EQ(duration("0.5"), 500ms);
  EXPECT_EQ(duration("250ms"), 250ms);
  EXPECT_EQ(duration("2min"), 2min);
  EXPECT_EQ(duration("1h"), 1h);
  for (const char* text : {"", "0", "-1", "x", "1d", "1e9h", "nan", "inf", "5 s", "ms"}) {
    EXPECT_THAT(problem({"bench", "--duration", text}), HasSubstr("duration")) << text;
  }
  for (const char* text : {"", "4", "-1", "x", "1XiB", "2TiB", "nan", "1 MiB", "KiB", "1.2.3"}) {
    EXPECT_THAT(problem({"bench", "--size", text}), HasSubstr("size")) << text;
  }
}

TEST(CommandLine, TakesOptionsBeforeAndBehindTheCommand) {
  const auto parsed = parse({"--bucket", "b", "get", "key", "--url", "h:1"});
  const auto* line = std::get_if<CommandLine>(&parsed);
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(line->bucket, "b");
  EXPECT_EQ(line->url, "h:1");
  EXPECT_FALSE(std::get<GetCommand>(line->command).file) << "none is not the same as -";
  EXPECT_EQ(command<GetCommand>({"get", "key", "-"}).file, "-");
}

TEST(CommandLine, HelpsWithTypesDefaultsAndExitCodes) {
  const auto main = help({"--help"});
  EXPECT_THAT(main, AllOf(HasSubstr("--url URL"), HasSubstr("--config FILE"),
                          HasSubstr("[lmcache]"), HasSubstr("LMCACHE_CONFIG_FILE"),
                          HasSubstr("NO_COLOR"), HasSubstr("Exit status:")));
  EXPECT_THAT(help({"bench", "--help"}),
              AllOf(HasSubstr("--size SIZE"), HasSubstr("--duration DURATION"), HasSubstr("[10s]"),
                    HasSubstr("--html FILE")));
  for (const char* name : {"put", "get", "exists", "bench", "doctor"}) {
    const auto text = help({name, "--help"});
    EXPECT_THAT(text, HasSubstr("Exit status: 0 ")) << name;
    for (const char* parsers : {"TEXT", "UINT", "INT", "FLOAT", "REQUIRED", "{"}) {
      if (std::string_view(name) == "bench" && std::string_view(parsers) == "TEXT")
        continue;  // --prefix
      EXPECT_THAT(text, Not(HasSubstr(parsers))) << name;
    }
  }
}

TEST(CommandLine, SaysWithExitCodeThreeThatTheDaemonMayRefuse) {
  for (const char* name : {"put", "get", "exists"}) {
    EXPECT_THAT(help({name, "--help"}), HasSubstr("it refused")) << name;
  }
}

TEST(CommandLine, ReadsCheckpointCommands) {
  const auto checkpoint = [](std::vector<const char*> words) {
    words.insert(words.begin(), "checkpoint");
    return command<CheckpointCommand>(words);
  };
  const auto put = std::get<ShardPutCommand>(checkpoint({"put", "my run", "3", "100", "file"}));
  EXPECT_EQ(put.shard.name, "my run");
  EXPECT_EQ(put.shard.rank, 3u);
  EXPECT_EQ(put.shard.step, 100u);
  EXPECT_EQ(put.file, "file");
  const auto last =
      std::get<ShardGetCommand>(checkpoint({"get", "r", "010", "18446744073709551615"}));
  EXPECT_EQ(last.shard.rank, 10u) << "no octal numbers";
  EXPECT_EQ(last.shard.step, 18446744073709551615u);
  EXPECT_FALSE(last.file);
  EXPECT_EQ(std::get<LatestCommand>(checkpoint({"latest", "r"})).limit, 5u);
  const auto created = std::get<NamespacesCommand>(
      checkpoint({"namespaces", "r", "--num-ranks", "2", "--steps-retained", "3"}));
  EXPECT_EQ(created.num_ranks, 2u);
  EXPECT_EQ(created.steps_retained, 3u);
  // A namespace may be called as a command is.
  EXPECT_EQ(std::get<LatestCommand>(checkpoint({"latest", "put"})).name, "put");
  EXPECT_EQ(std::get<LatestCommand>(checkpoint({"latest", "bench"})).name, "bench");
  EXPECT_TRUE(std::holds_alternative<ResetCommand>(checkpoint({"reset", "--yes"})));
}

TEST(CommandLine, SaysWhatIsWrongWithACheckpointCommand) {
  const auto checkpoint = [](std::vector<const char*> words) {
    words.insert(words.begin(), "checkpoint");
    return problem(words);
  };
  EXPECT_THAT(checkpoint({}), HasSubstr("name a command: namespaces, put, get, latest, delete or"));
  EXPECT_THAT(checkpoint({"lates", "r"}), HasSubstr("'lates'; did you mean latest?"));
  EXPECT_THAT(checkpoint({"latest", "r", "--limt", "3"}), HasSubstr("did you mean --limit?"));
  EXPECT_THAT(checkpoint({"latest", "r", "--limt", "3"}),
              HasSubstr("see hyperpod-kv checkpoint latest --help"));
  EXPECT_THAT(checkpoint({"latest", "r", "--retrys", "3"}), HasSubstr("did you mean --retries?"));
  for (const char* number : {"x", "1.0", "+1", "0x1", "", "18446744073709551616"}) {
    EXPECT_THAT(checkpoint({"get", "r", number, "1"}), HasSubstr("RANK")) << number;
    EXPECT_THAT(checkpoint({"get", "r", "1", number}), HasSubstr("STEP")) << number;
  }
  EXPECT_THAT(checkpoint({"reset"}), HasSubstr("--yes"));
  EXPECT_THAT(checkpoint({"namespaces", "r", "--num-ranks", "2"}), HasSubstr("--steps-retained"));
  EXPECT_THAT(checkpoint({"namespaces", "r", "--num-ranks", "0", "--steps-retained", "1"}),
              HasSubstr("--num-ranks"));
  EXPECT_THAT(checkpoint({"put", "r", "0", "1"}), HasSubstr("FILE"));
}

TEST(CommandLine, HelpsWithCheckpointCommands) {
  EXPECT_THAT(help({"checkpoint", "--help"}), HasSubstr("--retries N"));
  for (const char* name : {"namespaces", "put", "get", "latest", "delete", "reset"}) {
    const auto text = help({"checkpoint", name, "--help"});
    EXPECT_THAT(text, HasSubstr("Exit status: 0 ")) << name;
    for (const char* parsers : {"TEXT", "UINT", "INT", "FLOAT", "REQUIRED", "{"}) {
      EXPECT_THAT(text, Not(HasSubstr(parsers))) << name;
    }
  }
}

TEST(CommandLine, TellsItsNameAndVersion) {
  EXPECT_EQ(help({"--version"}), "hyperpod-kv " HYPERPOD_VERSION "\n");
}

}  // namespace
}  // namespace hyperpod::client::cli
