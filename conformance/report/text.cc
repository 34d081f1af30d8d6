// SPDX-License-Identifier: Apache-2.0
#include "report/text.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include "hyperpod/base/terminal.h"
#include "requirements/consequences.h"

namespace hyperpod::conformance::report {
namespace {

constexpr std::array printed_outcomes{Outcome::pass, Outcome::warn, Outcome::fail, Outcome::error,
                                      Outcome::skip};

std::string indented(std::string_view text, std::size_t indent) {
  std::string result;
  while (!text.empty()) {
    const auto end = text.find('\n');
    result.append(indent, ' ').append(text.substr(0, end)).append("\n");
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return result;
}

std::string_view arrow(Event::Kind kind) {
  constexpr std::array<std::string_view, 3> arrows{"sent", "received", "but"};
  return arrows[static_cast<std::size_t>(kind)];
}

std::string_view word(Mark mark) {
  constexpr std::array<std::string_view, 4> words{"observed", "client", "inferred", "assumed"};
  return words[static_cast<std::size_t>(mark)];
}

std::string counted(std::size_t count, Outcome outcome) {
  constexpr std::array<std::string_view, 5> words{"skipped", "passed", "warned of", "in error",
                                                  "failed"};
  return std::to_string(count) + " " + std::string(words[static_cast<std::size_t>(outcome)]);
}

}  // namespace

std::string transcript_text(const CheckResult& result, std::size_t indent) {
  std::string text;
  for (const Event& event : result.events) {
    const std::string where =
        event.connection == 0 ? "driver" : "connection " + std::to_string(event.connection);
    text += indented(in_ms(event.at) + ", " + where + ", " + std::string(arrow(event.kind)) + ":",
                     indent);
    text += indented(event.head, indent + 2);
    if (!event.body.empty()) text += indented(event.body, indent + 2);
    if (event.body.empty() && event.body_bytes > 0) {
      text += indented(std::to_string(event.body_bytes) + " bytes of body", indent + 2);
    }
  }
  if (result.events_dropped > 0) {
    text += indented(std::to_string(result.events_dropped) +
                         " events between the first and the last are left out",
                     indent);
  }
  return text;
}

std::string standing(const Requirement& requirement) {
  std::string text =
      std::string(name(requirement.level())) + ", " + std::string(word(requirement.mark));
  if (!requirement.source.empty()) text += " (" + std::string(requirement.source) + ")";
  return text;
}

std::string verdict(const Report& report, bool strict) {
  switch (report.worst()) {
    case Outcome::error:
      // A driver or a command that somebody gave to the suite is not the suite.
      return std::ranges::all_of(report.results,
                                 [](const CheckResult& result) {
                                   return result.outcome != Outcome::error || result.given_failed;
                                 })
                 ? "What was given to the suite failed, so nothing is proven"
                 : "The suite itself failed, so nothing is proven";
    case Outcome::fail:
      return "The " + report.subject + " does not conform";
    case Outcome::warn:
      return "The " + report.subject +
             (strict ? " does not conform strictly" : " conforms, with warnings");
    case Outcome::pass:
      return "The " + report.subject + " conforms";
    case Outcome::skip:
      break;
  }
  return "Nothing was checked";
}

std::string summary(const Report& report, bool strict) {
  std::string text = verdict(report, strict);
  std::string separator = ": ";
  for (const Outcome outcome : printed_outcomes) {
    const std::size_t count = report.count(outcome);
    if (count == 0) continue;
    text += separator + counted(count, outcome);
    separator = ", ";
  }
  return text + (report.partial() ? " (a partial run)." : ".");
}

TextReport::TextReport(std::FILE* out) : out_(out), terminal_(::isatty(::fileno(out)) == 1) {}

std::string TextReport::coloured(Outcome outcome, std::string text) const {
  if (!terminal_) return text;
  constexpr std::array<std::string_view, 5> colours{"2", "32", "33", "1;35", "1;31"};
  return "\x1b[" + std::string(colours[static_cast<std::size_t>(outcome)]) + "m" + text + "\x1b[0m";
}

void TextReport::progress(const CheckResult& result, std::size_t done, std::size_t total) {
  if (terminal_) {
    std::fprintf(out_, "\r\x1b[K%s  %.*s", base::progress_bar(done, total, now() - begun_).c_str(),
                 static_cast<int>(result.requirement->id.size()), result.requirement->id.data());
    if (done == total) std::fprintf(out_, "\r\x1b[K");
  } else {
    const std::string id(result.requirement->id);
    std::fprintf(out_, "%-5s  %-13s  %8s  %s\n", std::string(name(result.outcome)).c_str(),
                 id.c_str(), seconds(result.took).c_str(),
                 std::string(result.requirement->statement).c_str());
  }
  std::fflush(out_);
}

void TextReport::finding(const CheckResult& result) {
  const Requirement& requirement = *result.requirement;
  const std::string head = std::string(name(result.outcome)) + "  " + std::string(requirement.id);
  std::fprintf(out_, "\n%s  %s\n", coloured(result.outcome, head).c_str(),
               standing(requirement).c_str());
  std::fprintf(out_, "  %s\n", std::string(requirement.statement).c_str());
  if (!result.expected.empty()) std::fprintf(out_, "  expected  %s\n", result.expected.c_str());
  std::fprintf(out_, "  seen      %s\n", result.seen.c_str());
  std::fputs(transcript_text(result, 4).c_str(), out_);
}

void TextReport::skipped(const Report& report) {
  std::map<std::string, std::string> by_reason;
  for (const CheckResult& result : report.results) {
    if (result.outcome != Outcome::skip) continue;
    by_reason[result.seen].append(" ").append(result.requirement->id);
  }
  if (!by_reason.empty()) std::fprintf(out_, "\nNot checked:\n");
  for (const auto& [reason, ids] : by_reason) {
    std::fprintf(out_, " %s: %s\n", ids.c_str(), reason.c_str());
  }
}

void TextReport::table(const Report& report) {
  std::map<Chapter, std::array<std::size_t, 5>> counts;
  for (const CheckResult& result : report.results) {
    ++counts[result.requirement->chapter][static_cast<std::size_t>(result.outcome)];
  }
  std::fprintf(out_, "\n%-26s", "");
  for (const Outcome outcome : printed_outcomes)
    std::fprintf(out_, "%6s", std::string(name(outcome)).c_str());
  std::fprintf(out_, "\n");
  for (const auto& [chapter, numbers] : counts) {
    std::fprintf(out_, "%-26s", std::string(title(chapter)).c_str());
    for (const Outcome outcome : printed_outcomes) {
      const std::size_t number = numbers[static_cast<std::size_t>(outcome)];
      std::array<char, 16> cell;
      std::snprintf(cell.data(), cell.size(), "%6zu", number);
      std::fputs(number == 0 ? "     ·" : coloured(outcome, cell.data()).c_str(), out_);
    }
    std::fprintf(out_, "\n");
  }
}

void TextReport::finish(const Report& report, bool strict) {
  for (const Outcome outcome : {Outcome::error, Outcome::fail, Outcome::warn}) {
    for (const CheckResult& result : report.results) {
      if (result.outcome == outcome) finding(result);
    }
  }
  skipped(report);
  table(report);
  std::fprintf(out_, "\n%s\n", coloured(report.worst(), summary(report, strict)).c_str());
  std::fprintf(out_, "%s, to repeat it: %s\n", seconds(report.took).c_str(),
               report.reproduce().c_str());
}

std::string catalogue_text(std::span<const Requirement> requirements) {
  std::string text;
  for (const Requirement& requirement : requirements) {
    std::string id(requirement.id);
    id.resize(15, ' ');
    std::string level(name(requirement.level()));
    level.resize(8, ' ');
    text += id + level + std::string(letter(requirement.mark)) + "  " +
            std::string(requirement.statement);
    if (!requirement.source.empty()) text += " [" + std::string(requirement.source) + "]";
    text += "\n";
  }
  return text;
}

static std::string table_of(std::span<const Requirement> requirements) {
  std::string text =
      "| id | level | mark | source | who relies on it | requirement "
      "|\n|---|---|---|---|---|---|\n";
  for (const Requirement& requirement : requirements) {
    for (const std::string_view cell :
         {requirement.id, name(requirement.level()), letter(requirement.mark), requirement.source,
          relied_on_by(requirement), requirement.statement}) {
      text.append("| ").append(cell).append(cell.empty() ? "" : " ");
    }
    text += "|\n";
  }
  return text;
}

std::string catalogue_page() {
  return R"(# The catalogues

What `hyperpod-conformance` checks, a line a requirement. This page is made by
`hyperpod-conformance daemon --list=markdown`; a test keeps it in step with the program.
[protocol.md](protocol.md) tells the same facts in their context and explains marks and sources.

A MUST was seen on a real node, or a public client relies on it: the fifth column says which. A SHOULD follows
from such facts, or from HTTP. A MAY is this project's assumption. What breaks a MUST does not conform; the others are
warnings.

## Daemons

)" + table_of(daemon_catalogue()) +
         "\n## Clients\n\n" + table_of(client_catalogue());
}

}  // namespace hyperpod::conformance::report
