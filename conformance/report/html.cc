// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <map>
#include <vector>

#include "report/files.h"
#include "report/markup.h"
#include "report/plot.h"
#include "report/text.h"
#include "requirements/consequences.h"

namespace hyperpod::conformance::report {
namespace {

constexpr std::array outcomes{Outcome::error, Outcome::fail, Outcome::warn, Outcome::pass,
                              Outcome::skip};

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --paper: light-dark(#f4f6f9, #0d131c); --card: light-dark(#fff, #151d29);
  --ink: light-dark(#16202e, #e6ecf5); --soft: light-dark(#586577, #93a1b5); --line: light-dark(#dfe4ec, #263244);
  --pass: light-dark(#0b7a45, #4cc38a); --warn: light-dark(#9a5b00, #f0b354); --fail: light-dark(#b3261e, #ff7b72);
  --error: light-dark(#8a3fa8, #c98ae0); --skip: light-dark(#8b94a3, #8793a6); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.1rem; font-weight: 600; color: var(--soft); margin: 0; }
.verdict { font-size: 1.9rem; line-height: 1.25; font-weight: 650; margin: .25rem 0 1.25rem; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; }
h2 small { font-weight: 400; color: var(--soft); font-size: .9rem; margin-left: .6rem; }
.bar { display: flex; height: .7rem; border-radius: .35rem; overflow: hidden; background: var(--line); }
.bar i { display: block; min-width: 3px; }
.key { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: .6rem 0 1.6rem; padding: 0; list-style: none; }
.key b { font-variant-numeric: tabular-nums; }
.dot { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .45rem; }
.bg-pass { background: var(--pass); } .bg-warn { background: var(--warn); } .bg-fail { background: var(--fail); }
.bg-error { background: var(--error); } .bg-skip { background: var(--skip); }
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
.error { color: var(--error); } .skip { color: var(--skip); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem 1.2rem;
  box-shadow: 0 1px 2px rgb(16 32 60 / 8%), 0 4px 16px rgb(16 32 60 / 5%); }
.finding { margin: 0 0 1rem; border-left: .3rem solid var(--skip); }
.finding.of-fail { border-left-color: var(--fail); } .finding.of-warn { border-left-color: var(--warn); }
.finding.of-error { border-left-color: var(--error); }
.finding header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
.finding p { margin: .35rem 0 .8rem; }
.id { font: 600 .92rem ui-monospace, "DejaVu Sans Mono", monospace; white-space: nowrap; }
.standing { color: var(--soft); font-size: .88rem; }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--soft); font-size: .92rem; }
pre { margin: .6rem 0 0; padding: .8rem 1rem; overflow-x: auto; border-radius: .4rem; background: var(--paper);
  border: 1px solid var(--line); font: .82rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; }
td, th { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0; border-top: 1px solid var(--line); }
tr:first-child td { border-top: 0; }
td.outcome { font-weight: 600; white-space: nowrap; width: 1%; } td:nth-child(2), td.time { white-space: nowrap; width: 1%; }
td.time { text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; padding-right: 0; }
.note { color: var(--soft); font-size: .88rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--soft); font-size: .88rem; }
code { font: .88em ui-monospace, "DejaVu Sans Mono", monospace; }
figure { margin: .9rem 0 .2rem; } figcaption { color: var(--soft); font-size: .88rem; margin-bottom: .3rem; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, "DejaVu Sans", sans-serif; }
svg .grid { stroke: var(--line); } svg .base { stroke: var(--skip); } svg .limit { stroke: var(--fail); stroke-dasharray: 4 3; }
svg .under { fill: var(--pass); fill-opacity: .55; } svg .over { fill: var(--fail); fill-opacity: .75; }
svg text { fill: var(--soft); } svg .name { text-anchor: end; } svg .tick { text-anchor: middle; }
@media print { details > * { display: block; } }
)";

std::string text_of(std::string_view element, std::string_view css_class, std::string_view text) {
  std::string html("<");
  html.append(element);
  if (!css_class.empty()) html.append(" class=\"").append(css_class).append("\"");
  return html.append(">").append(escaped(text)).append("</").append(element).append(">");
}

std::string number(double value, const char* format) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string bar(const Report& report) {
  std::string parts;
  std::string key;
  for (const Outcome outcome : outcomes) {
    const std::size_t count = report.count(outcome);
    if (count == 0) continue;
    const std::string css = "bg-" + std::string(name(outcome));
    const double share =
        100.0 * static_cast<double>(count) / static_cast<double>(report.results.size());
    parts += "<i class=\"" + css + "\" style=\"width:" + number(share, "%.2f%%") + "\"></i>";
    key += "<li><span class=\"dot " + css + "\"></span><b>" + std::to_string(count) + "</b> " +
           std::string(name(outcome)) + "</li>";
  }
  return "<div class=\"bar\">" + parts + "</div>\n<ul class=\"key\">" + key + "</ul>\n";
}

std::string facts(const Report& report, bool strict) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Fact& fact : report.facts) rows.emplace_back(fact.label, fact.shown);
  rows.insert(rows.end(), {{"Profile", report.profile + (strict ? ", strict" : "") +
                                           (report.partial() ? ", a partial run" : "")},
                           {"Started", report.started + ", took " + seconds(report.took)},
                           {"Suite", "hyperpod-conformance " HYPERPOD_VERSION}});
  std::string html = "<dl class=\"card\">";
  for (const auto& [key, value] : rows) html += text_of("dt", "", key) + text_of("dd", "", value);
  return html + "<dt>To repeat it</dt><dd>" + text_of("code", "", report.reproduce()) +
         "</dd></dl>\n";
}

/// What was not judged because of this finding.
std::string followers(const Report& report, std::string_view cause) {
  std::string items;
  for (const CheckResult& result : report.results) {
    if (result.cause != cause) continue;
    items += "<li>" + text_of("span", "id", result.requirement->id) + " " +
             escaped(result.requirement->statement) + "</li>";
  }
  if (items.empty()) return "";
  return "<details><summary>Not judged because of it</summary><ul>" + items + "</ul></details>";
}

std::string finding(const Report& report, const CheckResult& result) {
  const Requirement& requirement = *result.requirement;
  const std::string outcome(name(result.outcome));
  std::string html = "<article class=\"card finding of-" + outcome + "\"><header>" +
                     text_of("span", "id", requirement.id) + text_of("span", outcome, outcome) +
                     text_of("span", "standing", standing(requirement)) + "</header>" +
                     text_of("p", "", requirement.statement) + "<dl>";
  if (!result.expected.empty()) html += "<dt>Expected</dt>" + text_of("dd", "", result.expected);
  html += "<dt>Seen</dt>" + text_of("dd", "", result.seen);
  if (result.outcome != Outcome::error)
    html += "<dt>What it costs</dt>" + text_of("dd", "", consequence(requirement));
  html += "</dl>";
  if (!result.events.empty()) {
    html += "<details><summary>What went over the wire</summary>" +
            text_of("pre", "", transcript_text(result, 0)) + "</details>";
  }
  return html + followers(report, requirement.id) + "</article>\n";
}

std::string findings(const Report& report) {
  std::string html;
  for (const Outcome outcome : {Outcome::error, Outcome::fail, Outcome::warn}) {
    for (const CheckResult& result : report.results) {
      if (result.outcome == outcome) html += finding(report, result);
    }
  }
  return html.empty() ? html : "<h2>Findings</h2>\n" + html;
}

std::string row(const CheckResult& result) {
  const Requirement& requirement = *result.requirement;
  const std::string outcome(name(result.outcome));
  std::string notes = text_of("div", "note", standing(requirement));
  if (result.outcome == Outcome::skip)
    notes += text_of("div", "note", "Not checked: " + result.seen);
  for (const auto& [figure, value] : result.figures)
    notes += text_of("div", "note", figure + ": " + value);
  for (const Plot& plot : result.plots)
    notes += "<figure>" + text_of("figcaption", "", plot.title) + to_svg(plot) + "</figure>";
  return "<tr>" + text_of("td", "outcome " + outcome, outcome) + "<td>" +
         text_of("span", "id", requirement.id) + "</td><td>" + escaped(requirement.statement) +
         notes + "</td>" + text_of("td", "time", seconds(result.took)) + "</tr>\n";
}

std::string chapters(const Report& report) {
  std::map<Chapter, std::vector<const CheckResult*>> by_chapter;
  for (const CheckResult& result : report.results)
    by_chapter[result.requirement->chapter].push_back(&result);
  std::string html;
  for (const auto& [chapter, results] : by_chapter) {
    std::string rows;
    std::size_t passed = 0;
    for (const CheckResult* result : results) {
      rows += row(*result);
      passed += result->outcome == Outcome::pass ? 1 : 0;
    }
    std::string heading(title(chapter));
    if (heading[0] >= 'a') heading[0] = static_cast<char>(heading[0] - 'a' + 'A');
    html += "<h2>" + escaped(heading) +
            text_of("small", "",
                    std::to_string(passed) + " of " + std::to_string(results.size()) + " passed") +
            "</h2>\n<div class=\"card scroll\"><table>" + rows + "</table></div>\n";
  }
  return html;
}

constexpr std::string_view footer =
    R"(<footer><p>A MUST was observed on a real node or is relied upon by a
public client; a SHOULD is inferred from those or from HTTP; a MAY is this project's assumption. What
breaks a MUST does not conform; the others are warnings, and it may be the catalogue that is wrong.</p></footer>
)";

}  // namespace

std::string to_html(const Report& report, bool strict) {
  const std::string outcome(name(report.worst()));
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
         "<title>Conformance of " +
         escaped(report.name) + "</title><style>" + std::string(style) +
         "</style></head><body><main>\n<h1>HyperPod KV " + escaped(report.subject) +
         " conformance</h1>\n" + text_of("div", "verdict " + outcome, verdict(report, strict)) +
         "\n" + bar(report) + facts(report, strict) + findings(report) + chapters(report) +
         std::string(footer) + "</main></body></html>\n";
}

}  // namespace hyperpod::conformance::report
