#include "client/suite.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

constexpr int not_installed = 77;

tl::unexpected<ClientObstacle> no_driver(const std::string& why) {
  return tl::unexpected(ClientObstacle{
      ClientObstacle::Kind::driver,
      why + "; --check-driver tells what a driver gets wrong, docs/drivers.md what it has to do"});
}

std::set<std::string> words_of(const Json& list) {
  std::set<std::string> words;
  for (const Json& word : list) words.insert(word.get<std::string>());
  return words;
}

DriverFacts facts_in(const Json& hello) {
  DriverFacts facts;
  facts.client = hello.at("client").get<std::string>();
  facts.operations = words_of(hello.at("operations"));
  facts.parameters = words_of(hello.at("parameters"));
  const auto header = hello.at("header").get<std::string>();
  if (header == "always") facts.header = DriverFacts::Header::always;
  if (header == "configurable") facts.header = DriverFacts::Header::configurable;
  return facts;
}

/// Runs the checks of one run: first those that bear company, some at a time, then the others.
class Runner {
 public:
  explicit Runner(const ClientRunOptions& options) : options_(options) {
    for (const ClientCheckEntry& entry : client_checks()) {
      const bool wanted = options_.only.empty() ? entry.profile <= options_.target.profile
                                                : is_named(options_.only, entry.id);
      if (wanted) (entry.alone ? alone_ : together_).push_back(&entry);
    }
    std::mt19937_64 random(options_.seed);
    std::ranges::shuffle(together_, random);
    std::ranges::shuffle(alone_, random);
  }

  std::vector<CheckResult> run() {
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < std::max(options_.at_once, 1u); ++i) {
        threads.emplace_back([this] { work(together_, next_together_); });
      }
    }
    std::jthread([this] { work(alone_, next_alone_); }).join();
    std::ranges::sort(results_, {}, [](const CheckResult& result) { return result.requirement; });
    return std::move(results_);
  }

 private:
  void work(const std::vector<const ClientCheckEntry*>& entries, std::atomic<std::size_t>& next) {
    // A driver that has ended must not end the suite.
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    for (std::size_t i = next++; i < entries.size(); i = next++) {
      CheckResult result = run_client_check(*entries[i], options_.target);
      const std::lock_guard lock(mutex_);
      results_.push_back(std::move(result));
      if (options_.progress)
        options_.progress(results_.back(), results_.size(), together_.size() + alone_.size());
    }
  }

  const ClientRunOptions& options_;
  std::vector<const ClientCheckEntry*> together_;
  std::vector<const ClientCheckEntry*> alone_;
  std::atomic<std::size_t> next_together_ = 0;
  std::atomic<std::size_t> next_alone_ = 0;
  std::mutex mutex_;  // guards results_
  std::vector<CheckResult> results_;
};

}  // namespace

std::span<const ClientCheckEntry> client_checks() {
  static const std::vector<ClientCheckEntry> all = [] {
    std::vector<ClientCheckEntry> joined;
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

tl::expected<DriverFacts, ClientObstacle> ask_driver(const std::string& command,
                                                     double time_scale) {
  const auto patience = std::chrono::duration_cast<Duration>(10s * time_scale);
  auto driver = Driver::start({.command = command});
  if (!driver) return no_driver(driver.error().message);
  const auto hello = driver->ask({{"op", "hello"}}, patience);
  if (!hello && hello.error().code == ErrorCode::closed) {
    const auto status = driver->wait(patience);
    if (status && WIFEXITED(*status) && WEXITSTATUS(*status) == not_installed) {
      return tl::unexpected(
          ClientObstacle{ClientObstacle::Kind::not_installed, driver->complaints()});
    }
  }
  if (!hello) return no_driver(hello.error().message);
  try {
    return facts_in(*hello);
  } catch (const Json::exception& exception) {
    return no_driver(std::string("the driver's answer to hello cannot be used: ") +
                     exception.what());
  }
}

CheckResult run_client_check(const ClientCheckEntry& entry, const ClientTarget& target) {
  const Requirement& requirement = *find_requirement(entry.id);
  ClientCheck check(target, requirement);
  CheckResult result = judge(requirement, [&] { entry.run(check); });
  result.figures = check.figures();
  result.plots = check.plots();
  if (result.outcome > Outcome::pass) {
    check.tell_requests();
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
  }
  return result;
}

tl::expected<Report, ClientObstacle> run_client_suite(ClientRunOptions options) {
  ClientTarget& target = options.target;
  auto facts = ask_driver(target.driver, target.time_scale);
  if (!facts) return tl::unexpected(std::move(facts).error());
  target.facts = *std::move(facts);
  Report report;
  report.subject = "client";
  report.name = target.facts.client;
  report.facts = {{"client", target.facts.client, "Client", target.facts.client},
                  {"driver", target.driver, "Driver", target.driver}};
  report.command = "hyperpod-conformance client --driver '" + target.driver + "'";
  if (target.workers != 0) report.command += " --workers " + std::to_string(target.workers);
  report.profile = name(target.profile);
  report.only = options.only;
  report.seed = options.seed;
  report.time_scale = target.time_scale;
  report.started = utc_now();
  const Moment begun = now();
  report.results = Runner(options).run();
  report.took = now() - begun;
  return report;
}

}  // namespace hyperpod::conformance
