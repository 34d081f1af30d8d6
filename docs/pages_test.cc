// SPDX-License-Identifier: Apache-2.0
// What the pages say, held against what is so.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "config/settings.h"

namespace {

using hyperpod::emulator::config::Setting;

std::string page(const std::string& name) {
  std::ifstream file(std::string(HYPERPOD_DOCS) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

/// From `title` to the next heading.
std::string section(const std::string& text, const std::string& title) {
  const auto begin = text.find("\n" + title + "\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find("\n#", begin + 1) - begin);
}

// --- ci.md

std::vector<std::string> blocks(const std::string& text, const std::string& language) {
  static const std::regex form("```(\\w+)\n([^`]*)```");
  std::vector<std::string> found;
  for (std::sregex_iterator block(text.begin(), text.end(), form), end; block != end; ++block) {
    if ((*block)[1] == language) found.push_back((*block)[2]);
  }
  return found;
}

/// The shell commands of a job of GitHub's or GitLab's.
std::vector<std::string> commands(const YAML::Node& job) {
  std::vector<std::string> found;
  for (const auto& line : job["script"]) found.push_back(line.as<std::string>());
  for (const auto& step : job["steps"]) {
    if (step["run"]) found.push_back(step["run"].as<std::string>());
  }
  return found;
}

TEST(CiPage, ShowsYamlWhoseJobsDoWhatTheySay) {
  std::map<std::string, int> jobs;
  for (const std::string& text : blocks(page("ci.md"), "yaml")) {
    const YAML::Node document = YAML::Load(text);
    if (document.IsSequence()) continue;  // steps, to be put into one of the jobs
    if (document["services"]) {           // a compose file
      EXPECT_EQ(document["services"]["tests"]["ipc"].as<std::string>(), "service:node");
      continue;
    }
    const bool github = static_cast<bool>(document["jobs"]);
    for (const auto& job : github ? document["jobs"] : document) {
      std::string all;
      for (const std::string& command : commands(job.second)) all += command + "\n";
      const bool compose = all.find(
                               "docker compose up --build --abort-on-container-exit "
                               "--exit-code-from conformance") != std::string::npos;
      EXPECT_TRUE(compose || all.find("ctest --test-dir") != std::string::npos) << text;
      ++jobs[std::string(github ? "GitHub" : "GitLab") + (compose ? " compose" : " ctest")];
    }
  }
  const std::map<std::string, int> expected{
      {"GitHub compose", 1}, {"GitHub ctest", 1}, {"GitLab compose", 1}, {"GitLab ctest", 1}};
  EXPECT_EQ(jobs, expected);
}

// --- options.md

TEST(OptionsPage, HasTheTablesThatTheProgramPrints) {
  const std::string text = page("options.md");
  const auto tables = text.find("### ");
  ASSERT_NE(tables, std::string::npos);
  EXPECT_EQ(text.substr(tables), hyperpod::emulator::config::settings_as_markdown())
      << "put there what hyperpod-emulator --list-options markdown prints";
}

// --- fidelity.md

/// The ids named in `text`; "HTTP-06 to HTTP-12" names seven.
std::set<std::string> ids(const std::string& text) {
  static const std::regex form("((?:C-)?[A-Z]+-)([0-9]+)(?: to [A-Z]+-([0-9]+))?");
  std::set<std::string> found;
  for (std::sregex_iterator name(text.begin(), text.end(), form), end; name != end; ++name) {
    const int first = std::stoi((*name)[2]);
    const int last = (*name)[3].matched ? std::stoi((*name)[3]) : first;
    for (int number = first; number <= last; ++number) {
      found.insert((*name)[1].str() + (number < 10 ? "0" : "") + std::to_string(number));
    }
  }
  return found;
}

/// Of a table, the ids in the first column.
std::set<std::string> ids_of_rows(const std::string& text) {
  std::set<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| ")) found.merge(ids(line.substr(0, line.find('|', 1))));
  }
  return found;
}

/// Every fact of protocol.md, with its mark.
std::map<std::string, char> facts() {
  static const std::regex form(R"(\n\| ((?:C-)?[A-Z]+-[0-9]+) \| \w+ \| ([OCIA]) \|)");
  const std::string text = page("protocol.md");
  std::map<std::string, char> found;
  for (std::sregex_iterator row(text.begin(), text.end(), form), end; row != end; ++row) {
    found[(*row)[1]] = (*row)[2].str()[0];
  }
  return found;
}

TEST(FidelityPage, HasEveryInferredAndEveryAssumedFact) {
  const std::string text = page("fidelity.md");
  auto inferred = ids_of_rows(section(text, "## Inferred"));
  inferred.merge(ids_of_rows(section(text, "## Of clients")));
  const auto assumed = ids_of_rows(section(text, "## Assumed"));
  const auto known = facts();
  ASSERT_GT(known.size(), 140u);
  for (const auto& [id, mark] : known) {
    EXPECT_EQ(inferred.contains(id), mark == 'I') << id << " is marked " << mark;
    if (mark == 'A') {
      EXPECT_TRUE(assumed.contains(id)) << id;
    }
  }
  for (const auto& named : {inferred, assumed}) {
    for (const std::string& id : named) EXPECT_TRUE(known.contains(id)) << id << " is not a fact";
  }
}

TEST(FidelityPage, NamesEverySwitchAndNoOther) {
  const std::string text = page("fidelity.md");
  static const std::regex form("`(--[a-z-]+)");
  for (std::sregex_iterator name(text.begin(), text.end(), form), end; name != end; ++name) {
    const std::string option = (*name)[1];
    const auto all = hyperpod::emulator::config::settings();
    EXPECT_TRUE(option == "--list-options" ||
                std::ranges::any_of(all, [&](const Setting& s) { return s.option == option; }))
        << option << " is not an option";
  }
  for (const Setting& setting : hyperpod::emulator::config::settings()) {
    if (!setting.key.starts_with("emulator.behaviour.") &&
        !setting.key.starts_with("emulator.limits.")) {
      continue;
    }
    EXPECT_NE(text.find("`" + std::string(setting.option)), std::string::npos) << setting.option;
  }
}

}  // namespace
