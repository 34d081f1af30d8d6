// SPDX-License-Identifier: Apache-2.0
#include "daemon/suite.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <ranges>

#include "daemon/chapters.h"
#include "daemon/preflight.h"

namespace hyperpod::conformance::daemon {
namespace {

bool wanted(const RunOptions& options, const CheckEntry& entry) {
  if (options.only.empty()) return entry.profile <= options.target.profile;
  return is_named(options.only, entry.id);
}

/// The segment as the latest check has mapped it: after a restart it is another one.
class SharedSegment {
 public:
  explicit SharedSegment(std::shared_ptr<const Segment> segment) : segment_(std::move(segment)) {}

  std::shared_ptr<const Segment> get() {
    const std::lock_guard lock(mutex_);
    return segment_;
  }
  void set(std::shared_ptr<const Segment> segment) {
    const std::lock_guard lock(mutex_);
    segment_ = std::move(segment);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Segment> segment_;
};

/// The seed depends on the id alone, so that --only repeats what a whole run did.
std::uint64_t seed_of(const RunOptions& options, std::string_view id) {
  std::vector<std::uint32_t> words{static_cast<std::uint32_t>(options.seed),
                                   static_cast<std::uint32_t>(options.seed >> 32)};
  words.insert(words.end(), id.begin(), id.end());
  std::seed_seq mixed(words.begin(), words.end());
  return std::mt19937_64(mixed)();
}

bool is_finding(const CheckResult& result) {
  return result.outcome > Outcome::pass || !result.cause.empty();
}

/// Whether somebody listens still, looked at after each check. Who is gone keeps nothing: that is
/// told once, as a failure of the check under way then, whatever its level, and hides the rest.
class Watch {
 public:
  /// Any thread. What came of a check when the daemon is gone is told by tell().
  void look(Check& check, CheckResult& result) {
    const bool finding = is_finding(result);
    if (const auto answered = check.transcript().answered()) {
      const std::lock_guard lock(mutex_);
      answered_ = std::max(answered_, *answered);
    }
    // What a restart has cost has been told.
    if (check.target().lost->load() != nullptr || (gone_ && !finding)) return;
    if (!gone_ && !check.is_gone(finding)) return;
    gone_ = true;
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
    const std::lock_guard lock(mutex_);
    after_[result.requirement] = check.transcript().unanswered();
  }

  /// The result in place of a check's that need not begin; nullopt: it is to be run.
  std::optional<CheckResult> instead_of(const Requirement& requirement) {
    if (!gone_) return std::nullopt;
    const std::lock_guard lock(mutex_);
    after_[&requirement] = std::nullopt;
    CheckResult result;
    result.requirement = &requirement;
    result.seen = "nobody listens any more";
    return result;
  }

  /// When all have ended.
  void tell(std::vector<CheckResult>& results, const std::string& url) const {
    // A request that ends the daemon is sent when the last response comes: others were sent long
    // before, to be held, or are sent while it is ending.
    const auto last = std::ranges::min_element(after_, {}, [&](const auto& one) {
      return one.second ? std::chrono::abs(one.second->at - answered_) : Duration::max();
    });
    if (last == after_.end()) return;
    const Requirement* const culprit = last->first;
    for (CheckResult& result : results) {
      if (!after_.contains(result.requirement)) continue;
      if (result.requirement == culprit) {
        result.seen = "nobody listens there any more since this check" + under_way(*last) +
                      (result.expected.empty() ? ""
                                               : "; by itself it expected " + result.expected +
                                                     " and saw " + result.seen);
        result.expected = "the daemon at " + url + " to stay";
        result.outcome = Outcome::fail;
        result.symptom = Symptom::other;
        result.cause = {};
      } else if (result.outcome != Outcome::pass) {
        result.seen = "not judged, because the daemon is gone since " + std::string(culprit->id) +
                      ": " + (result.expected.empty() ? "" : "expected " + result.expected + ", ") +
                      "seen " + result.seen;
        result.expected.clear();
        result.outcome = Outcome::skip;
        result.cause = culprit->id;
        result.events.clear();
      }
    }
  }

 private:
  using After = std::map<const Requirement*, std::optional<check::Unanswered>>;

  /// The latest requests of all checks that may have been the end of it.
  std::string under_way(const After::value_type& last) const {
    constexpr auto together = std::chrono::milliseconds(100);
    constexpr std::size_t most = 8;
    if (!last.second) return "";
    std::vector<const After::value_type*> others;
    for (const auto& one : after_)
      if (&one != &last && one.second &&
          std::chrono::abs(one.second->at - last.second->at) < together)
        others.push_back(&one);
    std::ranges::sort(others, {}, [](const auto* one) { return one->second->at; });
    std::string text = ", whose latest request was " + line_of(*last.second);
    for (const auto* one : others | std::views::take(most))
      text +=
          "; at that time " + std::string(one->first->id) + " had sent " + line_of(*one->second);
    return text;
  }

  static std::string line_of(const check::Unanswered& request) {
    constexpr std::size_t most = 120;
    const std::string line = request.head.substr(0, request.head.find('\n'));
    if (line.empty()) return "a part of a body";
    return line.size() <= most ? line : line.substr(0, most) + "…";
  }

  std::atomic<bool> gone_ = false;
  std::mutex mutex_;    // guards what follows while checks run
  After after_;         ///< What ended when the daemon was gone.
  TimePoint answered_;  ///< When the latest response came.
};

std::vector<check::Task> tasks_of(const RunOptions& options, SharedSegment& segment, Watch& watch) {
  std::vector<check::Task> tasks;
  for (const CheckEntry& entry : daemon_checks()) {
    if (!wanted(options, entry)) continue;
    const Requirement& requirement = *find_requirement(entry.id);
    const auto waits = std::make_shared<std::promise<void>>();
    const auto told = std::make_shared<std::once_flag>();
    const auto tell = [waits, told] { std::call_once(*told, [&] { waits->set_value(); }); };
    tasks.push_back({&requirement, entry.isolation,
                     [&, tell] {
                       if (auto result = watch.instead_of(requirement)) {
                         tell();
                         return *std::move(result);
                       }
                       Check check(options.target, requirement, segment.get(),
                                   seed_of(options, entry.id));
                       check.when_waiting(tell);
                       CheckResult result = run_check(entry, check);
                       tell();
                       watch.look(check, result);
                       segment.set(check.shared_segment());
                       return result;
                     },
                     waits->get_future().share()});
  }
  return tasks;
}

}  // namespace

std::span<const CheckEntry> daemon_checks() {
  static const std::vector<CheckEntry> all = [] {
    std::vector<CheckEntry> joined;
    for (const auto chapter :
         {store_checks(), key_checks(), bucket_checks(), lease_checks(), hold_checks(),
          ttl_checks(), pin_checks(), release_checks(), shared_memory_checks(),
          concurrency_checks(), http_checks(), limit_checks(), tls_checks(), restart_checks(),
          checkpoint_checks()}) {
      joined.insert(joined.end(), chapter.begin(), chapter.end());
    }
    return joined;
  }();
  return all;
}

/// What a defect loses is missing each time; what a full cache has let go is not.
static void run_until_judged(const CheckEntry& entry, Check& check) {
  for (int attempt = 1; attempt < attempts_where_missing; ++attempt) {
    try {
      return entry.run(check);
    } catch (const Missing&) {
      check.begin_again();
    }
  }
  entry.run(check);
}

CheckResult run_check(const CheckEntry& entry, Check& check) {
  CheckResult result = check.judge([&] { run_until_judged(entry, check); });
  if (result.outcome > Outcome::pass) {
    result.events = check.transcript().events();
    result.events_dropped = check.transcript().dropped();
  }
  check.release_open_leases();
  return result;
}

/// What a reader must know of the daemon.
static std::vector<Fact> facts_of(const Target& target) {
  const std::string capacity = target.capacity == 0
                                   ? "not told, so the cache was not filled on purpose"
                                   : std::to_string(target.capacity) + " bytes";
  return {{"url", target.endpoint.url(), "Daemon", target.endpoint.url()},
          {"shm_name", target.shm_name, "Segment", "/dev/shm/" + target.shm_name},
          {"capacity", target.capacity, "Capacity", capacity}};
}

/// The command line up to what chooses the checks.
static std::string command_of(const RunOptions& options) {
  const Target& target = options.target;
  std::string command = "hyperpod-conformance daemon --url " + shell_word(target.endpoint.url()) +
                        " --shm-name " + shell_word(target.shm_name);
  if (target.bucket != Target().bucket) command += " --bucket " + shell_word(target.bucket);
  if (target.capacity != 0) command += " --capacity " + std::to_string(target.capacity);
  if (!target.tls.ca_file.empty()) command += " --tls-ca " + shell_word(target.tls.ca_file);
  if (target.allow_reset) command += " --allow-reset";
  if (!options.restart_command.empty())
    command += " --restart-command " + shell_word(options.restart_command);
  return command;
}

tl::expected<Report, Obstacle> run_daemon_suite(const RunOptions& options) {
  const Target& target = options.target;
  Report report;
  report.subject = "daemon";
  report.name = target.endpoint.url();
  report.facts = facts_of(target);
  report.command = command_of(options);
  report.profile = name(target.profile);
  report.only = options.only;
  report.seed = options.seed;
  report.time_scale = target.time_scale;
  report.started = utc_now();
  const TimePoint begun = now();
  // Of the run as well: one that repeats a seed would find what the first one has left behind.
  auto segment = preflight(target, seed_of(options, "START " + target.run_id));
  if (!segment) return tl::unexpected(segment.error());
  SharedSegment shared(*std::move(segment));
  Watch watch;
  report.results =
      check::run_tasks(tasks_of(options, shared, watch), {options.seed, 0, options.progress});
  watch.tell(report.results, target.endpoint.url());
  check::attribute_causes(report.results, daemon_causes());
  report.took = now() - begun;
  return report::finished(std::move(report));
}

}  // namespace hyperpod::conformance::daemon
