// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string_view>

#include "cli/doctor/writers.h"
#include "hyperpod/base/text.h"

namespace hyperpod::client::cli::doctor {
namespace {

constexpr std::size_t columns = 100;
constexpr std::size_t text_column = 11;  // behind "  problem  "

struct Style {
  std::string_view label;
  std::string_view colour;
};

Style style_of(Severity severity) {
  switch (severity) {
    case Severity::ok:
      return {"ok", "\x1b[32m"};
    case Severity::warning:
      return {"warning", "\x1b[33m"};
    case Severity::problem:
      return {"problem", "\x1b[31m"};
  }
  return {"", ""};
}

std::string painted(std::string_view text, std::string_view escape, bool colour) {
  return colour ? fmt::format("{}{}\x1b[0m", escape, text) : std::string(text);
}

// Breaks one line at blanks, so that it fits behind an indent; its own indent holds for all of it.
std::string wrapped(std::string_view line, std::size_t indent) {
  const std::size_t own = std::min(line.find_first_not_of(' '), line.size());
  std::string margin(1, '\n');
  margin.append(indent + own, ' ');
  std::string out(own, ' ');
  line.remove_prefix(own);
  std::size_t column = indent + own;
  while (!line.empty()) {
    const auto word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(word.size() + 1, line.size()));
    const bool first = column == indent + own;
    if (!first && column + 1 + word.size() > columns) {
      out += margin;
      column = indent + own;
    } else if (!first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

void append_remedy(std::string& out, std::string_view lines) {
  constexpr std::string_view arrow = "-> ";
  std::string margin = std::string(text_column, ' ') + std::string(arrow);
  while (!lines.empty()) {
    const auto line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    out += margin + wrapped(base::printable(line), margin.size()) + "\n";
    margin.assign(margin.size(), ' ');
  }
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary(const Report& report) {
  const std::size_t problems = report.count(Severity::problem);
  const std::size_t warnings = report.count(Severity::warning);
  if (problems == 0 && warnings == 0) return "healthy";
  if (problems == 0) return "healthy, with " + counted(warnings, "warning");
  return counted(problems, "problem") + ", " + counted(warnings, "warning");
}

}  // namespace

// Texts name what files and daemons hold, which must not steer the terminal.
std::string to_text(const Report& report, bool colour) {
  std::string out;
  for (const Section& section : report.sections()) {
    out += painted(base::printable(section.title), "\x1b[1m", colour) + "\n";
    for (const Finding& finding : section.findings) {
      const Style style = style_of(finding.severity);
      out += "  " + painted(fmt::format("{:<7}", style.label), style.colour, colour) + "  " +
             wrapped(base::printable(finding.text), text_column) + "\n";
      append_remedy(out, finding.remedy);
    }
    out += "\n";
  }
  return out + summary(report) + "\n";
}

}  // namespace hyperpod::client::cli::doctor
