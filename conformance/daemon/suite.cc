#include "daemon/suite.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "daemon/chapters.h"
#include "daemon/preflight.h"

namespace hyperpod::conformance {
namespace {

std::string utc_now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

bool wanted(const RunOptions& options, const CheckEntry& entry) {
  if (options.only.empty()) return entry.profile <= options.target.profile;
  return std::ranges::any_of(options.only, [&](const std::string& prefix) {
    return entry.id == prefix || entry.id.starts_with(prefix + "-");
  });
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
                        static_cast<std::uint32_t>(&requirement - catalogue().data())};
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
  const Requirement& requirement = *find_requirement(entry.id);
  CheckResult result;
  result.requirement = &requirement;
  result.outcome = Outcome::pass;
  const Moment begun = now();
  try {
    entry.run(check);
  } catch (const Violation& violation) {
    result.outcome = requirement.level() == Level::must ? Outcome::fail : Outcome::warn;
    result.expected = printable(violation.expected);
    result.seen = printable(violation.seen);
  } catch (const Skipped& skipped) {
    result.outcome = Outcome::skip;
    result.seen = skipped.reason;
  } catch (const SuiteFailure& failure) {
    result.outcome = Outcome::error;
    result.seen = failure.what;
  } catch (const std::exception& exception) {
    result.outcome = Outcome::error;
    result.seen = exception.what();
  }
  result.took = now() - begun;
  result.figures = check.figures();
  if (result.outcome > Outcome::pass) {
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
  }
  check.tidy();
  return result;
}

tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options) {
  const Target& target = options.target;
  Report report;
  report.url = target.endpoint.url();
  report.shm_name = target.shm_name;
  report.capacity = target.capacity;
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

std::size_t Report::count(Outcome outcome) const {
  return static_cast<std::size_t>(std::ranges::count(results, outcome, &CheckResult::outcome));
}

Outcome Report::worst() const {
  Outcome worst = Outcome::skip;
  for (const CheckResult& result : results) worst = std::max(worst, result.outcome);
  return worst;
}

bool Report::partial() const { return !only.empty() || count(Outcome::skip) > 0; }

std::string Report::reproduce() const {
  std::string line = "hyperpod-conformance daemon --url " + url + " --shm-name " + shm_name;
  if (capacity != 0) line += " --capacity " + std::to_string(capacity);
  line += " --profile " + profile + " --seed " + std::to_string(seed);
  if (time_scale != 1) line += " --time-scale " + std::to_string(time_scale);
  for (const std::string& id : only) line += " --only " + id;
  return line;
}

std::string_view name(Outcome outcome) {
  constexpr std::array<std::string_view, 5> names{"skip", "pass", "warn", "fail", "error"};
  return names[static_cast<std::size_t>(outcome)];
}

std::string_view name(Profile profile) {
  constexpr std::array<std::string_view, 3> names{"core", "full", "stress"};
  return names[static_cast<std::size_t>(profile)];
}

}  // namespace hyperpod::conformance
