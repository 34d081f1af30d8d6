// SPDX-License-Identifier: Apache-2.0
#include "client/suite.h"

#include <algorithm>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr int not_installed = 77;

tl::unexpected<Obstacle> no_driver(const std::string& why) {
  return tl::unexpected(Obstacle{
      Obstacle::Kind::driver,
      why + "; --check-driver tells what a driver gets wrong, docs/drivers.md what it has to do"});
}

std::set<std::string> words_in(const Json& hello, const char* name) {
  const auto words = member<std::vector<std::string>>(hello, name);
  return {words.begin(), words.end()};
}

DriverFacts facts_in(const Json& hello) {
  DriverFacts facts;
  facts.client = member<std::string>(hello, "client");
  facts.operations = words_in(hello, "operations");
  facts.parameters = words_in(hello, "parameters");
  const auto header = member<std::string>(hello, "header");
  if (header == "always") facts.header = DriverFacts::Header::always;
  if (header == "configurable") facts.header = DriverFacts::Header::configurable;
  return facts;
}

std::vector<check::Task> tasks_of(const RunOptions& options) {
  std::vector<check::Task> tasks;
  for (const CheckEntry& entry : client_checks()) {
    const bool wanted = options.only.empty() ? entry.profile <= options.target.profile
                                             : is_named(options.only, entry.id);
    if (!wanted) continue;
    tasks.push_back({find_requirement(entry.id), entry.isolation,
                     [&] { return run_client_check(entry, options.target); }});
  }
  return tasks;
}

}  // namespace

std::span<const CheckEntry> client_checks() {
  static const std::vector<CheckEntry> all = [] {
    std::vector<CheckEntry> joined;
    for (const auto chapter :
         {throttle_checks(), connection_checks(), many_worker_checks(), timeout_checks(),
          client_lease_checks(), client_ttl_checks(), client_memory_checks(), recovery_checks(),
          wire_checks(), batch_checks()}) {
      joined.insert(joined.end(), chapter.begin(), chapter.end());
    }
    return joined;
  }();
  return all;
}

tl::expected<DriverFacts, Obstacle> ask_driver(const std::string& command, double time_scale) {
  // A client may take long to load.
  const auto patience = std::chrono::duration_cast<Duration>(60s * time_scale);
  auto driver = Driver::start({.command = command});
  if (!driver) return no_driver(driver.error().message);
  const auto hello = driver->ask({{"op", "hello"}}, patience);
  if (!hello && hello.error().code == ErrorCode::closed) {
    const auto status = driver->wait(patience);
    if (status == not_installed) {
      return tl::unexpected(Obstacle{Obstacle::Kind::not_installed, driver->error_output()});
    }
  }
  if (!hello) return no_driver(hello.error().message);
  try {
    return facts_in(*hello);
  } catch (const SuiteFailure& failure) {
    return no_driver(failure.what);
  }
}

CheckResult run_client_check(const CheckEntry& entry, const Target& target) {
  Check check(target, *find_requirement(entry.id));
  CheckResult result = check.judge([&] { entry.run(check); });
  if (result.outcome > Outcome::pass) {
    check.tell_requests();
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
  }
  return result;
}

tl::expected<Report, Obstacle> run_client_suite(RunOptions options) {
  Target& target = options.target;
  auto facts = ask_driver(target.driver, target.time_scale);
  if (!facts) return tl::unexpected(std::move(facts).error());
  target.facts = *std::move(facts);
  Report report;
  report.subject = "client";
  report.name = target.facts.client;
  report.facts = {{"client", target.facts.client, "Client", target.facts.client},
                  {"driver", target.driver, "Driver", target.driver}};
  report.command = "hyperpod-conformance client --driver " + shell_word(target.driver);
  if (target.workers != 0) report.command += " --workers " + std::to_string(target.workers);
  if (options.at_once != RunOptions().at_once)
    report.command += " --at-once " + std::to_string(options.at_once);
  report.profile = name(target.profile);
  report.only = options.only;
  report.seed = options.seed;
  report.time_scale = target.time_scale;
  report.started = utc_now();
  const TimePoint begun = now();
  report.results =
      check::run_tasks(tasks_of(options), {options.seed, options.at_once, options.progress});
  report.took = now() - begun;
  return report::finished(std::move(report));
}

}  // namespace hyperpod::conformance::client
