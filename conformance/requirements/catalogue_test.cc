// SPDX-License-Identifier: Apache-2.0
#include "requirements/catalogue.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "report/text.h"
#include "requirements/consequences.h"

namespace hyperpod::conformance::requirements {
namespace {

struct Row {
  std::string level, mark, source, fact;
  bool operator==(const Row&) const = default;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.level << " | " << row.mark << " | " << row.source << " | " << row.fact;
}

/// The rows of docs/protocol.md that begin with an id.
std::map<std::string, Row> documented() {
  static const std::regex form(
      R"(^\| ((?:C-)?[A-Z]+-[0-9]+) \| (\w+) \| (\w) \| (?:([^|]*) )?\| ([^|]+) \|$)");
  std::ifstream page(HYPERPOD_PROTOCOL_PAGE);
  std::map<std::string, Row> rows;
  for (std::string line; std::getline(page, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, form)) continue;
    const bool fresh = rows.emplace(match[1], Row{match[2], match[3], match[4], match[5]}).second;
    EXPECT_TRUE(fresh) << match[1] << " is documented twice";
  }
  return rows;
}

std::vector<Requirement> all_requirements() {
  std::vector<Requirement> all(daemon_catalogue().begin(), daemon_catalogue().end());
  all.insert(all.end(), client_catalogue().begin(), client_catalogue().end());
  return all;
}

TEST(Catalogue, SaysWhatTheProtocolPageSays) {
  std::map<std::string, Row> known;
  for (const Requirement& entry : all_requirements()) {
    known[std::string(entry.id)] = {std::string(name(entry.level())),
                                    std::string(letter(entry.mark)), std::string(entry.source),
                                    std::string(entry.statement)};
  }
  EXPECT_EQ(documented(), known);
}

TEST(Catalogue, HasAPageThatIsInStep) {
  std::ifstream page(HYPERPOD_CATALOGUE_PAGE);
  std::stringstream text;
  text << page.rdbuf();
  EXPECT_EQ(text.str(), report::catalogue_page())
      << "make it anew: hyperpod-conformance daemon --list=markdown >docs/catalogue.md";
}

TEST(Catalogue, SaysForEachMustWhoReliesOnItAndForAllWhatTheyCost) {
  for (const Requirement& entry : all_requirements()) {
    EXPECT_EQ(relied_on_by(entry).empty(), entry.level() != Level::must) << entry.id;
    EXPECT_TRUE(consequence(entry).ends_with('.')) << entry.id;
  }
}

TEST(Catalogue, IsOrderedByChapterAndCountsWithoutGaps) {
  std::map<std::string, int> last;
  Chapter chapter = Chapter::store;
  for (const Requirement& entry : all_requirements()) {
    const std::string id(entry.id);
    const auto dash = id.rfind('-');
    EXPECT_EQ(std::stoi(id.substr(dash + 1)), ++last[id.substr(0, dash)]) << id;
    EXPECT_GE(entry.chapter, chapter) << id;
    chapter = entry.chapter;
  }
  EXPECT_EQ(chapter, Chapter::batches);
}

TEST(Catalogue, ExplainsEachSourceItNames) {
  const std::set<std::string> known{"doc", "conn", "mp", "1968", "4234", "field", "cp"};
  for (const Requirement& entry : all_requirements()) {
    std::stringstream sources{std::string(entry.source)};
    for (std::string source; std::getline(sources >> std::ws, source, ',');) {
      EXPECT_TRUE(known.contains(source) || source.starts_with("RFC ")) << entry.id << source;
    }
    EXPECT_TRUE(!entry.source.empty() || entry.level() != Level::must)
        << entry.id << " is a MUST without a source";
    EXPECT_TRUE(entry.statement.ends_with('.')) << entry.id;
  }
}

TEST(Catalogue, FindsARequirementByItsIdOnly) {
  ASSERT_NE(find_requirement("PUT-06"), nullptr);
  EXPECT_EQ(find_requirement("PUT-06")->level(), Level::may);
  EXPECT_EQ(find_requirement("PUT-6"), nullptr);
}

}  // namespace
}  // namespace hyperpod::conformance::requirements
