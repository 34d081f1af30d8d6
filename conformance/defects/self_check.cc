#include "defects/self_check.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

namespace hyperpod::conformance {
namespace {

/// A daemon and the checks that are run against it.
struct Plan {
  std::string name;
  std::string what;
  std::vector<std::string> aims;
  std::function<void(Making&)> shape;
  std::set<std::string> ids;
};

std::set<std::string> ids_of(Profile profile, std::initializer_list<std::string_view> without) {
  std::set<std::string> ids;
  for (const CheckEntry& entry : daemon_checks()) {
    const auto left_out = [&](std::string_view prefix) { return entry.id.starts_with(prefix); };
    if (entry.profile <= profile && std::ranges::none_of(without, left_out))
      ids.insert(std::string(entry.id));
  }
  return ids;
}

void plain(Making& making) {
  making.options.listen = "[::]:0";
  making.host = "localhost";
}

void scattered(Making& making) { making.options.placement = emulator::Placement::worst_case; }
void proxied(Making& making) { making.lie.emplace(); }
void encrypted(Making& making) { making.options.tls.self_signed_directory = "temporary"; }

/// Faultless daemons, of which every check must pass. Restarts are left to the one behind the
/// proxy, whose port nobody else can take meanwhile.
std::vector<Plan> faultless() {
  const auto core = ids_of(Profile::core, {"TLS", "HTTP-02", "RESTART"});
  auto tls = core;
  tls.insert({"TLS-01", "TLS-02", "TLS-03"});
  return {
      {"faultless",
       "the emulator as it comes",
       {},
       plain,
       ids_of(Profile::full, {"TLS", "RESTART"})},
      {"faultless, patience", "the same, for half a minute", {}, plain, {"LEASE-08", "HTTP-12"}},
      {"faultless, scattered", "objects in as many fragments as can be", {}, scattered, core},
      {"faultless, over TLS", "the same over TLS", {}, encrypted, tls},
      // The proxy passes heads on when they are complete, so that the daemon sees none that is not.
      {"faultless, proxied",
       "behind a proxy that tells no lie",
       {},
       proxied,
       ids_of(Profile::full, {"TLS", "HTTP-02", "LIMIT-11"})},
  };
}

std::vector<Plan> plans(const SelfCheckOptions& options) {
  std::vector<Plan> plans;
  if (options.only.empty()) plans = faultless();
  for (const Defect& defect : all_defects()) {
    const bool wanted =
        options.only.empty() || std::ranges::find(options.only, defect.name) != options.only.end();
    if (!wanted) continue;
    Plan plan{std::string(defect.name),
              std::string(defect.what),
              {defect.aims.begin(), defect.aims.end()},
              defect.shape,
              {}};
    if (options.whole_core) plan.ids = ids_of(Profile::core, {"TLS", "RESTART"});
    plan.ids.insert(plan.aims.begin(), plan.aims.end());
    plans.push_back(std::move(plan));
  }
  return plans;
}

Trial run(const Plan& plan, const SelfCheckOptions& options) {
  Trial trial{plan.name, plan.what, plan.aims, {}, {}};
  auto daemon = DefectiveDaemon::start(plan.shape);
  if (!daemon) {
    trial.obstacle = daemon.error().message;
    return trial;
  }
  RunOptions run;
  run.target = (*daemon)->target();
  run.target.time_scale = options.time_scale;
  run.target.worker_program = options.worker_program;
  run.target.run_id = options.run_id;
  run.seed = options.seed;
  run.only.assign(plan.ids.begin(), plan.ids.end());
  const auto report = run_daemon_suite(run);
  if (!report) {
    trial.obstacle = report.error().explanation;
    return trial;
  }
  for (const CheckResult& result : report->results)
    trial.results.emplace(result.requirement->id, result);
  return trial;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

}  // namespace

std::vector<std::string> Trial::caught_by() const {
  std::vector<std::string> ids;
  for (const auto& [id, result] : results) {
    if (result.outcome == Outcome::warn || result.outcome == Outcome::fail) ids.push_back(id);
  }
  return ids;
}

std::vector<std::string> Trial::missed() const {
  std::vector<std::string> ids;
  for (const auto& [id, result] : results) {
    if (aims.empty() && result.outcome != Outcome::pass) ids.push_back(id);
  }
  for (const std::string& aim : aims) {
    const auto found = results.find(aim);
    const bool caught = found != results.end() && (found->second.outcome == Outcome::warn ||
                                                   found->second.outcome == Outcome::fail);
    if (!caught) ids.push_back(aim);
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
  for (const Requirement& requirement : daemon_catalogue()) {
    const std::string id(requirement.id);
    if (requirement.level() == Level::must && !failed.contains(id)) ids.push_back(id);
  }
  return ids;
}

bool SelfCheckReport::passed() const {
  const auto good = [](const Trial& trial) {
    return trial.obstacle.empty() && trial.missed().empty();
  };
  return std::ranges::all_of(trials, good) && (!whole || unproven().empty());
}

SelfCheckReport run_self_check(const SelfCheckOptions& options) {
  const Moment begun = now();
  const std::vector<Plan> all = plans(options);
  SelfCheckReport report;
  report.whole = options.only.empty();
  report.trials.resize(all.size());
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::size_t done = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < all.size(); i = next++) {
      report.trials[i] = run(all[i], options);
      const std::lock_guard lock(mutex);
      if (options.progress) options.progress(report.trials[i], ++done, all.size());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(options.at_once, 1u); ++i) threads.emplace_back(work);
  }
  report.took = now() - begun;
  return report;
}

std::string trial_line(const Trial& trial) {
  const bool faultless = trial.aims.empty();
  const auto missed = trial.missed();
  std::string mark = faultless ? "clean   " : "caught  ";
  if (!missed.empty()) mark = faultless ? "ACCUSED " : "SURVIVED";
  if (!trial.obstacle.empty()) mark = "NOT RUN ";
  std::string name = trial.name;
  name.resize(std::max<std::size_t>(name.size(), 34), ' ');
  std::string line = mark + "  " + name + "  ";
  if (!trial.obstacle.empty()) return line + trial.obstacle + "\n";
  if (!missed.empty())
    return line + (faultless ? "did not pass: " : "not caught by: ") + joined(missed) + "\n";
  if (faultless) return line + std::to_string(trial.results.size()) + " checks passed\n";
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
  for (const Requirement& requirement : daemon_catalogue()) {
    const std::string id(requirement.id);
    std::vector<std::string> names;
    for (const Trial& trial : report.trials) {
      if (!trial.aims.empty() && std::ranges::count(trial.caught_by(), id) > 0)
        names.push_back(trial.name);
    }
    std::string line = id;
    line.resize(12, ' ');
    std::string level(name(requirement.level()));
    level.resize(8, ' ');
    if (report.whole || !names.empty())
      text += line + level + (names.empty() ? "nothing" : joined(names)) + "\n";
  }
  const auto survivors = std::ranges::count_if(report.trials, [](const Trial& trial) {
    return !trial.obstacle.empty() || !trial.missed().empty();
  });
  std::array<char, 200> verdict;
  std::snprintf(verdict.data(), verdict.size(), "\n%s: %zu daemons, %td not as they should be",
                report.passed() ? "The suite is proven" : "The suite is not proven",
                report.trials.size(), survivors);
  text += verdict.data();
  if (report.whole) {
    const auto unproven = report.unproven();
    text += unproven.empty() ? ", every MUST failed by a defect"
                             : ", no defect fails " + joined(unproven);
  }
  std::snprintf(verdict.data(), verdict.size(), ". %.1f s.\n",
                std::chrono::duration<double>(report.took).count());
  return text + verdict.data();
}

}  // namespace hyperpod::conformance
