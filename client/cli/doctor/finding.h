// SPDX-License-Identifier: Apache-2.0
// What the doctor has to say, whoever reads it: findings in sections, in the order in which they
// were made.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hyperpod::client::cli::doctor {

enum class Severity {
  ok,
  warning,  ///< Works, and may cost something or break later.
  problem,  ///< Objects cannot be stored or read as configured.
};

struct Finding {
  Severity severity;
  /// Names the finding for scripts and documentation, e.g. "segment-missing". Stable.
  std::string id;
  /// One sentence without a full stop.
  std::string text;
  /// What to do, as sentences or lines to put somewhere; empty if nothing is to be done.
  std::string remedy = {};
  /// The figures behind the text.
  nlohmann::json details = nlohmann::json::object();
};

/// Findings about one thing.
struct Section {
  std::string title;
  std::vector<Finding> findings;
};

class Report {
 public:
  /// The findings added from now on are about `title`.
  void begin(std::string title);

  void ok(std::string id, std::string text, nlohmann::json details = nlohmann::json::object());
  void warning(std::string id, std::string text, std::string remedy,
               nlohmann::json details = nlohmann::json::object());
  void problem(std::string id, std::string text, std::string remedy,
               nlohmann::json details = nlohmann::json::object());

  const std::vector<Section>& sections() const { return sections_; }
  std::size_t count(Severity severity) const;
  bool is_healthy() const { return count(Severity::problem) == 0; }

 private:
  void add(Finding finding);
  std::vector<Section> sections_;
};

}  // namespace hyperpod::client::cli::doctor
