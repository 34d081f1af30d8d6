// SPDX-License-Identifier: Apache-2.0
#include "daemon/suite.h"

#include <algorithm>
#include <future>
#include <mutex>
#include <random>

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

std::vector<check::Task> tasks_of(const RunOptions& options, SharedSegment& segment) {
  std::vector<check::Task> tasks;
  for (const CheckEntry& entry : daemon_checks()) {
    if (!wanted(options, entry)) continue;
    const Requirement& requirement = *find_requirement(entry.id);
    const auto waits = std::make_shared<std::promise<void>>();
    const auto told = std::make_shared<std::once_flag>();
    const auto tell = [waits, told] { std::call_once(*told, [&] { waits->set_value(); }); };
    tasks.push_back({&requirement, entry.isolation,
                     [&, tell] {
                       Check check(options.target, requirement, segment.get(),
                                   seed_of(options, entry.id));
                       check.when_waiting(tell);
                       CheckResult result = run_check(entry, check);
                       tell();
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
  report.results = check::run_tasks(tasks_of(options, shared), {options.seed, 0, options.progress});
  check::attribute_causes(report.results, daemon_causes());
  report.took = now() - begun;
  return report::finished(std::move(report));
}

}  // namespace hyperpod::conformance::daemon
