// SPDX-License-Identifier: Apache-2.0
// The reference daemon (conformance/reference/daemon.py) as it is, with each of its defects, and
// with its legal variations in pairs. It owes nothing to the emulator, and its switches were
// thought of by somebody else than the authors of the checks.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <utility>

#include "daemon/suite.h"
#include "defects/trials.h"
#include "hyperpod/base/child_process.h"

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Results = tl::expected<std::vector<CheckResult>, std::string>;

constexpr auto start_patience = 60s;
constexpr std::string_view usual_capacity = "64MiB";

/// A switch of the reference daemon, as its --list tells.
struct Switch {
  std::string kind;  ///< "vary" or "break".
  std::string name;
  std::string what;
  std::vector<std::string> ids;  ///< That must catch a defect, or may warn of a variation.
  std::string group;             ///< Variations of one group exclude each other.
  std::string capacity;          ///< That a trial needs to show it, as "64MiB".
};

std::vector<std::string> python(const SelfCheckOptions& options) {
  return {"python3", "-B", options.reference_daemon};
}

Result<std::vector<Switch>> list_switches(const SelfCheckOptions& options) {
  std::vector<std::string> command = python(options);
  command.insert(command.end(), {"--list", "--json"});
  auto process = base::ChildProcess::start({.arguments = command});
  if (!process) return tl::unexpected(process.error());
  (void)process->wait();
  const json list = json::parse(process->output(), nullptr, false);
  std::vector<Switch> switches;
  if (list.is_array()) {
    for (const json& entry : list) {
      switches.push_back({entry.value("kind", ""), entry.value("name", ""), entry.value("what", ""),
                          entry.value("ids", std::vector<std::string>()), entry.value("group", ""),
                          entry.value("capacity", std::string(usual_capacity))});
    }
  }
  if (switches.empty()) {
    return tl::unexpected(
        Error{ErrorCode::failed,
              options.reference_daemon + " lists no switches: " + process->last_error_line()});
  }
  return switches;
}

/// A running reference daemon, with a segment and a ready file of its own.
class ReferenceDaemon {
 public:
  static Result<ReferenceDaemon> start(const SelfCheckOptions& options,
                                       const std::vector<Switch>& switches) {
    static std::atomic<int> count = 0;
    ReferenceDaemon daemon;
    daemon.shm_name_ = options.run_id + "-ref-" + std::to_string(++count);
    daemon.ready_file_ = std::filesystem::temp_directory_path() / (daemon.shm_name_ + ".ready");
    std::vector<std::string> command = python(options);
    std::string capacity{usual_capacity};
    for (const Switch& one : switches)
      if (one.capacity != usual_capacity) capacity = one.capacity;
    command.insert(command.end(), {"--shm-name", daemon.shm_name_, "--capacity", capacity,
                                   "--ready-file", daemon.ready_file_});
    for (const Switch& one : switches) command.insert(command.end(), {"--" + one.kind, one.name});
    auto process = base::ChildProcess::start({.arguments = command});
    if (!process) return tl::unexpected(process.error());
    daemon.process_.emplace(*std::move(process));
    if (auto ready = daemon.await_ready(); !ready) return tl::unexpected(ready.error());
    return daemon;
  }

  ReferenceDaemon(ReferenceDaemon&& other) noexcept
      : process_(std::exchange(other.process_, std::nullopt)),
        shm_name_(std::move(other.shm_name_)),
        ready_file_(std::move(other.ready_file_)),
        ready_(std::move(other.ready_)) {}
  ReferenceDaemon& operator=(ReferenceDaemon&&) = delete;
  ~ReferenceDaemon() {
    if (!process_) return;
    process_->stop();
    std::error_code ignored;
    std::filesystem::remove(ready_file_, ignored);
    std::filesystem::remove("/dev/shm/" + shm_name_, ignored);
  }

  daemon::Target target(const SelfCheckOptions& options) {
    daemon::Target target;
    target.endpoint = *parse_url(ready_.value("url", ""));
    target.shm_name = shm_name_;
    target.capacity = ready_.value("capacity", std::uint64_t{0});
    target.time_scale = options.time_scale;
    target.worker_program = options.worker_program;
    target.run_id = options.run_id;
    target.restart = [this]() -> Result<void> {
      std::error_code ignored;
      std::filesystem::remove(ready_file_, ignored);
      process_->signal(SIGHUP);
      return await_ready();
    };
    return target;
  }

 private:
  ReferenceDaemon() = default;

  Result<void> await_ready() {
    const TimePoint deadline = now() + start_patience;
    while (now() < deadline && process_->running()) {
      std::ifstream file(ready_file_);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      ready_ = json::parse(text, nullptr, false);
      if (ready_.is_object() && parse_url(ready_.value("url", ""))) return {};
      std::this_thread::sleep_for(10ms);
    }
    return tl::unexpected(Error{ErrorCode::failed, "the reference daemon did not get ready: " +
                                                       process_->last_error_line()});
  }

  std::optional<base::ChildProcess> process_;
  std::string shm_name_;
  std::string ready_file_;
  json ready_;
};

Results run(const SelfCheckOptions& options, const std::vector<Switch>& switches,
            const std::vector<std::string>& only) {
  auto daemon = ReferenceDaemon::start(options, switches);
  if (!daemon) return tl::unexpected(daemon.error().message);
  daemon::RunOptions run;
  run.target = daemon->target(options);
  run.seed = options.seed;
  run.only = only;
  // What is caught by a few checks alone may take as long as these take.
  run.target.profile = options.whole || !only.empty() ? Profile::full : Profile::core;
  auto report = daemon::run_daemon_suite(run);
  if (!report) return tl::unexpected(report.error().explanation);
  return std::move(report->results);
}

Plan plan_of(const SelfCheckOptions& options, std::vector<Switch> switches) {
  Plan plan;
  plan.name = "reference";
  plan.what = switches.empty() ? "a second daemon, as it comes" : "";
  plan.may_skip = true;
  for (const Switch& one : switches) {
    plan.name += " " + one.name;
    plan.what += (plan.what.empty() ? "" : " ") + one.what;
    if (one.kind == "break") {
      plan.aims = one.ids;
      plan.any_aim = true;
    } else {
      plan.may_warn.insert(one.ids.begin(), one.ids.end());
    }
  }
  std::vector<std::string> only = plan.aims;
  if (options.whole && plan.any_aim) {
    Ids ids = ids_for_a_defect();
    ids.insert(only.begin(), only.end());
    only.assign(ids.begin(), ids.end());
  }
  plan.run = [&options, switches = std::move(switches), only = std::move(only)] {
    return run(options, switches, only);
  };
  return plan;
}

}  // namespace

bool is_reference_switch(const SelfCheckOptions& options, std::string_view name) {
  if (options.reference_daemon.empty()) return false;
  const auto switches = list_switches(options);
  return switches && std::ranges::find(*switches, name, &Switch::name) != switches->end();
}

std::vector<Plan> reference_plans(const SelfCheckOptions& options) {
  std::vector<Plan> plans;
  if (options.reference_daemon.empty()) return plans;
  const auto switches = list_switches(options);
  if (!switches) {
    const std::string why = switches.error().message;
    plans.push_back(
        {.name = "reference", .run = [why]() -> Results { return tl::unexpected(why); }});
    return plans;
  }
  for (const Switch& one : *switches) {
    if (!options.only.empty() && is_wanted(options, one.name))
      plans.push_back(plan_of(options, {one}));
  }
  if (!options.only.empty()) return plans;
  plans.push_back(plan_of(options, {}));
  std::vector<Switch> variations;
  for (const Switch& one : *switches) {
    if (one.kind == "break") plans.push_back(plan_of(options, {one}));
    if (one.kind == "vary" && options.whole) plans.push_back(plan_of(options, {one}));
    if (one.kind == "vary" && !options.whole) variations.push_back(one);
  }
  // Each variation once, beside another that does not exclude it.
  std::mt19937_64 random(options.seed);
  std::ranges::shuffle(variations, random);
  while (!variations.empty()) {
    std::vector<Switch> pair{variations.back()};
    variations.pop_back();
    const auto other = std::ranges::find_if(
        variations, [&](const Switch& one) { return one.group != pair[0].group; });
    if (other != variations.end()) {
      pair.push_back(*other);
      variations.erase(other);
    }
    plans.push_back(plan_of(options, std::move(pair)));
  }
  return plans;
}

}  // namespace hyperpod::conformance::defects
