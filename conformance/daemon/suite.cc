#include "daemon/suite.h"

#include <signal.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/preflight.h"

namespace hyperpod::conformance {
namespace {

bool wanted(const RunOptions& options, const CheckEntry& entry) {
  if (options.only.empty()) return entry.profile <= options.target.profile;
  return is_named(options.only, entry.id);
}

/// Runs the checks of one run: first those that bear company, then the others.
class Runner {
 public:
  Runner(const RunOptions& options, std::shared_ptr<const Segment> segment)
      : options_(options), segment_(std::move(segment)), random_(options.seed) {}

  std::vector<CheckResult> run() {
    std::map<Company, std::vector<const CheckEntry*>> entries;
    for (const CheckEntry& entry : daemon_checks()) {
      if (wanted(options_, entry)) entries[entry.company].push_back(&entry);
    }
    for (auto& [company, some] : entries) {
      std::ranges::shuffle(some, random_);
      total_ += some.size();
    }
    {
      std::vector<std::jthread> threads;
      for (const CheckEntry* entry : entries[Company::patient]) {
        threads.emplace_back([this, entry] { run_in_turn({entry}); });
      }
      threads.emplace_back([&] { run_in_turn(entries[Company::quick]); });
    }
    std::jthread([&] { run_in_turn(entries[Company::alone]); }).join();
    std::ranges::sort(results_, {}, [](const CheckResult& result) { return result.requirement; });
    return std::move(results_);
  }

 private:
  /// The body of each thread.
  void run_in_turn(const std::vector<const CheckEntry*>& entries) {
    // OpenSSL writes with write(2), which raises SIGPIPE when a daemon has closed.
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    for (const CheckEntry* entry : entries) run_one(*entry);
  }

  void run_one(const CheckEntry& entry) {
    const Requirement& requirement = *find_requirement(entry.id);
    // The seed depends on the id alone, so that --only repeats what a whole run did.
    std::seed_seq mixed{static_cast<std::uint32_t>(options_.seed),
                        static_cast<std::uint32_t>(options_.seed >> 32),
                        static_cast<std::uint32_t>(&requirement - daemon_catalogue().data())};
    std::uint64_t seed = std::mt19937_64(mixed)();
    Check check(options_.target, requirement, segment(), seed);
    CheckResult result = run_check(entry, check);
    const std::lock_guard lock(mutex_);
    segment_ = check.shared_segment();
    results_.push_back(std::move(result));
    if (options_.progress) options_.progress(results_.back(), results_.size(), total_);
  }

  std::shared_ptr<const Segment> segment() {
    const std::lock_guard lock(mutex_);
    return segment_;
  }

  const RunOptions& options_;
  std::mutex mutex_;  // guards segment_ and results_
  std::shared_ptr<const Segment> segment_;
  std::vector<CheckResult> results_;
  std::size_t total_ = 0;
  std::mt19937_64 random_;
};

}  // namespace

std::span<const CheckEntry> daemon_checks() {
  static const std::vector<CheckEntry> all = [] {
    std::vector<CheckEntry> joined;
    for (const auto chapter :
         {store_checks(), key_checks(), bucket_checks(), lease_checks(), hold_checks(),
          ttl_checks(), pin_checks(), release_checks(), shared_memory_checks(),
          concurrency_checks(), http_checks(), limit_checks(), tls_checks(), restart_checks()}) {
      joined.insert(joined.end(), chapter.begin(), chapter.end());
    }
    return joined;
  }();
  return all;
}

CheckResult run_check(const CheckEntry& entry, Check& check) {
  CheckResult result = judge(*find_requirement(entry.id), [&] { entry.run(check); });
  result.figures = check.figures();
  if (result.outcome > Outcome::pass) {
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
  }
  check.tidy();
  return result;
}

/// What a reader must know of the daemon.
static std::vector<Fact> facts_of(const Target& target) {
  const std::string capacity = target.capacity == 0 ? "not told, so nothing was evicted"
                                                    : std::to_string(target.capacity) + " bytes";
  return {{"url", target.endpoint.url(), "Daemon", target.endpoint.url()},
          {"shm_name", target.shm_name, "Segment", "/dev/shm/" + target.shm_name},
          {"capacity", target.capacity, "Capacity", capacity}};
}

tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options) {
  const Target& target = options.target;
  Report report;
  report.subject = "daemon";
  report.name = target.endpoint.url();
  report.facts = facts_of(target);
  report.command = "hyperpod-conformance daemon --url " + target.endpoint.url() + " --shm-name " +
                   target.shm_name;
  if (target.capacity != 0) report.command += " --capacity " + std::to_string(target.capacity);
  report.profile = name(target.profile);
  report.only = options.only;
  report.seed = options.seed;
  report.time_scale = target.time_scale;
  report.started = utc_now();
  const Moment begun = now();
  auto segment = preflight(target);
  if (!segment) return tl::unexpected(segment.error());
  report.results = Runner(options, *std::move(segment)).run();
  report.took = now() - begun;
  return report;
}

}  // namespace hyperpod::conformance
