// SPDX-License-Identifier: Apache-2.0
#include "defects/self_check.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "defects/trials.h"

namespace hyperpod::conformance::defects {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

/// What a vendor would be told, and whether the self-check is content with it.
std::string verdict_of(const Trial& trial) {
  if (!trial.obstacle.empty()) return "not run";
  std::string verdict = "conforms";
  for (const auto& [id, result] : trial.results) {
    if (result.outcome == Outcome::fail || result.outcome == Outcome::error)
      verdict = "does not conform";
    if (result.outcome == Outcome::warn && verdict == "conforms")
      verdict = "conforms, with warnings";
  }
  const auto missed = trial.missed();
  return missed.empty() ? verdict : verdict + ", missed " + joined(missed);
}

bool is_found(const CheckResult& result) {
  return result.outcome == Outcome::warn || result.outcome == Outcome::fail ||
         !result.cause.empty();
}

bool is_as_it_should_be(const Trial& trial) {
  return trial.obstacle.empty() && trial.missed().empty();
}

Trial tried(const Plan& plan) {
  Trial trial{.name = plan.name,
              .what = plan.what,
              .aims = plan.aims,
              .any_aim = plan.any_aim,
              .may_warn = plan.may_warn,
              .may_skip = plan.may_skip};
  auto results = plan.run();
  if (!results) {
    trial.obstacle = results.error();
    return trial;
  }
  for (CheckResult& result : *results) {
    // Not shown here, and much in hundreds of trials.
    result.events = {};
    trial.results.emplace(result.requirement->id, std::move(result));
  }
  return trial;
}

}  // namespace

std::vector<std::string> Trial::caught_by() const {
  std::vector<std::string> ids;
  for (const auto& [id, result] : results) {
    if (is_found(result)) ids.push_back(id);
  }
  return ids;
}

std::vector<std::string> Trial::missed() const {
  std::vector<std::string> ids;
  if (aims.empty()) {
    for (const auto& [id, result] : results) {
      const bool borne_with =
          (may_skip && result.outcome == Outcome::skip && result.cause.empty()) ||
          (may_warn.contains(id) && result.outcome == Outcome::warn);
      if (result.outcome != Outcome::pass && !borne_with) ids.push_back(id);
    }
    return ids;
  }
  for (const std::string& aim : aims) {
    const auto found = results.find(aim);
    const bool caught = found != results.end() && is_found(found->second);
    if (caught && any_aim) return {};
    const bool skipped = may_skip && found != results.end() &&
                         found->second.outcome == Outcome::skip && found->second.cause.empty();
    if (!caught && !skipped) ids.push_back(aim);
  }
  return ids;
}

std::vector<std::string> SelfCheckReport::unproven() const {
  std::set<std::string> failed;
  for (const Trial& trial : trials) {
    if (trial.aims.empty()) continue;
    for (const std::string& id : trial.caught_by()) failed.insert(id);
  }
  std::vector<std::string> ids;
  for (const Requirement* requirement : requirements) {
    const std::string id(requirement->id);
    if (requirement->level() == Level::must && !failed.contains(id)) ids.push_back(id);
  }
  return ids;
}

bool SelfCheckReport::passed() const {
  return std::ranges::all_of(trials, is_as_it_should_be) && (!whole || unproven().empty());
}

SelfCheckReport run_self_check(const SelfCheckOptions& options) {
  const TimePoint begun = now();
  SelfCheckReport report;
  std::vector<Plan> all;
  const auto add = [&](std::vector<Plan> plans, std::span<const Requirement> catalogue) {
    all.insert(all.end(), plans.begin(), plans.end());
    for (const Requirement& requirement : catalogue) report.requirements.push_back(&requirement);
  };
  if (options.daemons) add(daemon_plans(options), daemon_catalogue());
  if (options.daemons) add(reference_plans(options), {});
  if (options.clients) add(client_plans(options), client_catalogue());
  report.whole = options.only.empty();
  report.trials.resize(all.size());
  // In any order, so that those that mostly wait run beside those that work.
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::shuffle(order, std::mt19937_64(options.seed));
  std::mutex mutex;
  std::size_t done = 0;
  const auto finished = [&](const Trial& trial) {
    const std::lock_guard lock(mutex);
    if (options.progress) options.progress(trial, ++done, all.size());
  };
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t taken = next++; taken < all.size(); taken = next++) {
      const std::size_t i = order[taken];
      report.trials[i] = tried(all[i]);
      if (options.at_once < 2 || is_as_it_should_be(report.trials[i])) finished(report.trials[i]);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(options.at_once, 1u); ++i) threads.emplace_back(work);
  }
  if (options.at_once > 1) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      Trial& trial = report.trials[i];
      if (is_as_it_should_be(trial)) continue;
      report.disturbed.push_back(std::exchange(trial, tried(all[i])));
      finished(trial);
    }
  }
  report.took = now() - begun;
  return report;
}

std::vector<std::string> differing_verdicts(const std::vector<SelfCheckReport>& reports) {
  std::map<std::string, std::set<std::string>> verdicts;
  for (const SelfCheckReport& report : reports) {
    for (const Trial& trial : report.trials) verdicts[trial.name].insert(verdict_of(trial));
  }
  std::vector<std::string> lines;
  for (const auto& [name, caught] : verdicts) {
    if (caught.size() < 2) continue;
    std::string line = name + ":";
    for (const std::string& ids : caught) line += " [" + ids + "]";
    lines.push_back(line);
  }
  return lines;
}

bool is_wanted(const SelfCheckOptions& options, std::string_view defect) {
  return options.only.empty() || std::ranges::find(options.only, defect) != options.only.end();
}

bool is_defect(std::string_view name) {
  return std::ranges::any_of(all_defects(), [&](const Defect& d) { return d.name == name; }) ||
         std::ranges::any_of(client_defects(),
                             [&](const ClientDefect& d) { return d.name == name; });
}

std::string trial_line(const Trial& trial) {
  const bool correct = trial.aims.empty();
  const auto missed = trial.missed();
  std::string mark = correct ? "clean   " : "caught  ";
  if (!correct && trial.caught_by().empty()) mark = "skipped ";
  if (!missed.empty()) mark = correct ? "WRONGED " : "SURVIVED";
  if (!trial.obstacle.empty()) mark = "NOT RUN ";
  std::string name = trial.name;
  name.resize(std::max<std::size_t>(name.size(), 34), ' ');
  std::string line = mark + "  " + name + "  ";
  if (!trial.obstacle.empty()) return line + trial.obstacle + "\n";
  if (!missed.empty())
    return line + (correct ? "did not pass: " : "not caught by: ") + joined(missed) + "\n";
  if (correct) return line + std::to_string(trial.results.size()) + " checks passed\n";
  return line + joined(trial.caught_by()) + "\n";
}

/// What these checks expected and saw.
static std::string reason_lines(const Trial& trial, const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) {
    const auto found = trial.results.find(id);
    if (found == trial.results.end()) continue;
    const CheckResult& result = found->second;
    text.append("            ").append(id).append(" ").append(name(result.outcome));
    text.append(": expected ")
        .append(result.expected)
        .append("; seen ")
        .append(result.seen)
        .append("\n");
  }
  return text;
}

std::string matrix_text(const SelfCheckReport& report, bool reasons) {
  std::string text = "\nDefects, and the requirements that caught them\n";
  for (const Trial& trial : report.trials) {
    text += trial_line(trial) + reason_lines(trial, trial.missed());
    if (reasons) text += reason_lines(trial, trial.caught_by());
  }
  text += "\nRequirements, and the defects that they caught\n";
  for (const Requirement* requirement : report.requirements) {
    const std::string id(requirement->id);
    std::vector<std::string> names;
    for (const Trial& trial : report.trials) {
      if (!trial.aims.empty() && std::ranges::count(trial.caught_by(), id) > 0)
        names.push_back(trial.name);
    }
    std::string line = id;
    line.resize(15, ' ');
    std::string level(name(requirement->level()));
    level.resize(8, ' ');
    if (report.whole || !names.empty())
      text += line + level + (names.empty() ? "nothing" : joined(names)) + "\n";
  }
  // Again at the end, which is what a log of CI shows.
  std::string wrong;
  std::size_t survivors = 0;
  for (const Trial& trial : report.trials) {
    if (is_as_it_should_be(trial)) continue;
    ++survivors;
    wrong += trial_line(trial) + reason_lines(trial, trial.missed());
  }
  if (!wrong.empty()) text.append("\nNot as they should be\n").append(wrong);
  if (!report.disturbed.empty()) text += "\nTried again by themselves; at first, beside others\n";
  for (const Trial& trial : report.disturbed)
    text += trial_line(trial) + reason_lines(trial, trial.missed());
  std::array<char, 200> verdict{};
  std::snprintf(verdict.data(), verdict.size(), "\n%s: %zu trials, %zu not as they should be",
                report.passed() ? "Proven" : "Not proven", report.trials.size(), survivors);
  text += verdict.data();
  if (report.whole) {
    const auto unproven = report.unproven();
    text += unproven.empty() ? ", every MUST failed by a defect"
                             : ", no defect fails " + joined(unproven);
  }
  if (!report.disturbed.empty())
    text += ", " + std::to_string(report.disturbed.size()) + " tried again";
  std::snprintf(verdict.data(), verdict.size(), ". %.1f s.\n",
                std::chrono::duration<double>(report.took).count());
  return text + verdict.data();
}

}  // namespace hyperpod::conformance::defects
