// docs/fidelity.md against docs/protocol.md, whose facts it must list, and against the settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "config/settings.h"

namespace hyperpod::emulator {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string page(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(HYPERPOD_DOCS "/" + name).rdbuf();
  return text.str();
}

std::set<std::string> found(const std::string& text, const std::string& pattern, std::size_t part) {
  const std::regex expression(pattern, std::regex::multiline);
  std::set<std::string> all;
  for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end;
       ++match) {
    all.insert(match->str(part));
  }
  return all;
}

// Those that stand there, and those between "HTTP-06 to HTTP-12".
std::set<std::string> ids_in(const std::string& text) {
  auto ids = found(text, "[A-Z]+-[0-9]{2}", 0);
  const std::regex range("([A-Z]+)-([0-9]{2}) to \\1-([0-9]{2})");
  for (std::sregex_iterator match(text.begin(), text.end(), range), end; match != end; ++match) {
    for (int number = std::stoi(match->str(2)); number <= std::stoi(match->str(3)); ++number) {
      ids.insert(fmt::format("{}-{:02}", match->str(1), number));
    }
  }
  return ids;
}

TEST(Fidelity, ListsEveryFactThatIsInferredOrAssumed) {
  const auto facts =
      found(page("protocol.md"), "^\\| ([A-Z]+-[0-9]{2}) \\| [A-Z]+ \\| [IA] \\|", 1);
  EXPECT_GT(facts.size(), 40u);
  const auto listed = ids_in(page("fidelity.md"));
  for (const std::string& id : facts) EXPECT_THAT(listed, Contains(id));
}

TEST(Fidelity, NamesEverySwitchOfBehaviourAndNoneThatIsNotThere) {
  const auto text = page("fidelity.md");
  std::set<std::string> options{"--list-options"};
  for (const Setting& setting : settings()) {
    options.emplace(setting.option);
    const bool unknown_of_the_real_one =
        setting.member.starts_with("behaviour.") || setting.member.starts_with("limits.");
    if (!unknown_of_the_real_one) continue;
    EXPECT_THAT(text, HasSubstr(std::string(setting.option)));
  }
  for (const std::string& named : found(text, "--[a-z][a-z-]+", 0)) {
    EXPECT_THAT(options, Contains(named));
  }
}

}  // namespace
}  // namespace hyperpod::emulator
