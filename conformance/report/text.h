// SPDX-License-Identifier: Apache-2.0
// A run told on a terminal, or in a log.
#pragma once

#include <cstdio>
#include <span>
#include <string>

#include "report/report.h"

namespace hyperpod::conformance::report {

/// What went over the wire, a paragraph an event, each line indented by `indent` spaces.
std::string transcript_text(const CheckResult& result, std::size_t indent);

/// "MUST, observed (field)".
std::string standing(const Requirement& requirement);

/// How the run ended, in a few words.
std::string verdict(const Report& report, bool strict);
/// The same with the counts, as a sentence.
std::string summary(const Report& report, bool strict);

/// Writes to one stream. On a terminal: colours, and a line of progress that is overwritten;
/// otherwise a plain line for each check.
class TextReport {
 public:
  explicit TextReport(std::FILE* out);

  void progress(const CheckResult& result, std::size_t done, std::size_t total);
  /// Every finding, then a table by chapter, then the verdict.
  void finish(const Report& report, bool strict);

 private:
  void finding(const CheckResult& result);
  void skipped(const Report& report);
  void table(const Report& report);
  std::string coloured(Outcome outcome, std::string text) const;

  std::FILE* out_;
  bool terminal_;
  TimePoint begun_ = now();
};

/// Both catalogues as docs/catalogue.md has them.
std::string catalogue_page();

/// A catalogue, a line each requirement.
std::string catalogue_text(std::span<const Requirement> requirements);

}  // namespace hyperpod::conformance::report
