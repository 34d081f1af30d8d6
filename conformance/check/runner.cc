// SPDX-License-Identifier: Apache-2.0
#include "check/runner.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

namespace hyperpod::conformance::check {
namespace {

class Runner {
 public:
  Runner(const RunSettings& settings, std::size_t total) : settings_(settings), total_(total) {}

  /// Runs the tasks on `threads` threads.
  void run(const std::vector<Task>& tasks, std::size_t threads) {
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> workers;
    for (std::size_t i = 0; i < std::min(threads, tasks.size()); ++i) {
      workers.emplace_back([&] {
        block_sigpipe();
        for (std::size_t at = next++; at < tasks.size(); at = next++) finish(tasks[at].run());
      });
    }
  }

  std::vector<CheckResult> results() {
    std::ranges::sort(results_, {}, [](const CheckResult& result) { return result.requirement; });
    return std::move(results_);
  }

 private:
  // OpenSSL writes with write(2), and drivers are written to through pipes.
  static void block_sigpipe() {
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  }

  void finish(CheckResult result) {
    const std::lock_guard lock(mutex_);
    results_.push_back(std::move(result));
    if (settings_.progress) settings_.progress(results_.back(), results_.size(), total_);
  }

  const RunSettings& settings_;
  const std::size_t total_;
  std::mutex mutex_;  // guards results_
  std::vector<CheckResult> results_;
};

bool is_finding(Outcome outcome) { return outcome == Outcome::warn || outcome == Outcome::fail; }

template <class Value>
bool is_one_of(const std::vector<Value>& values, const Value& value) {
  return std::ranges::find(values, value) != values.end();
}

void follow(CheckResult& result, std::string_view cause) {
  result.outcome = Outcome::skip;
  result.cause = cause;
  result.seen = "not judged, because " + std::string(cause) + " is not kept: expected " +
                result.expected + ", seen " + result.seen;
  result.expected.clear();
}

}  // namespace

std::vector<CheckResult> run_tasks(std::vector<Task> tasks, const RunSettings& settings) {
  std::mt19937_64 random(settings.seed);
  std::ranges::shuffle(tasks, random);
  std::map<Isolation, std::vector<Task>> by_isolation;
  Runner runner(settings, tasks.size());
  for (const auto isolation : {Isolation::serial, Isolation::parallel, Isolation::patient,
                               Isolation::exclusive, Isolation::late, Isolation::disruptive})
    by_isolation[isolation];
  for (Task& task : tasks) by_isolation[task.isolation].push_back(std::move(task));
  std::jthread patient([&] {
    const std::vector<Task>& some = by_isolation.at(Isolation::patient);
    runner.run(some, some.size());
  });
  {
    const std::jthread parallel([&] {
      const std::vector<Task>& some = by_isolation.at(Isolation::parallel);
      runner.run(some, settings.at_once == 0 ? some.size() : settings.at_once);
    });
    runner.run(by_isolation.at(Isolation::serial), 1);
  }
  for (const Task& task : by_isolation.at(Isolation::patient))
    if (task.waits.valid()) task.waits.wait();
  runner.run(by_isolation.at(Isolation::exclusive), 1);
  patient.join();
  runner.run(by_isolation.at(Isolation::late), 1);
  // In the catalogue's order, so that what the others need comes first.
  std::vector<Task>& last = by_isolation.at(Isolation::disruptive);
  std::ranges::sort(last, {}, &Task::requirement);
  runner.run(last, 1);
  return runner.results();
}

void attribute_causes(std::vector<CheckResult>& results, std::span<const Cause> causes) {
  std::map<std::string_view, const CheckResult*> findings;
  for (const CheckResult& result : results) {
    if (is_finding(result.outcome)) findings[result.requirement->id] = &result;
  }
  const auto rank = [&](std::string_view id) {
    return std::ranges::find(causes, id, &Cause::id) - causes.begin();
  };
  const auto explains = [&](const Cause& cause, const CheckResult& result) {
    const auto found = findings.find(cause.id);
    return found != findings.end() && is_one_of(cause.shows, found->second->symptom) &&
           found->second->outcome >= result.outcome && is_one_of(cause.explains, result.symptom) &&
           (cause.of.empty() || is_one_of(cause.of, result.requirement->id)) &&
           rank(cause.id) < rank(result.requirement->id);
  };
  std::map<std::string_view, std::string_view> roots;  // Of findings that follow from others.
  for (const auto& [id, result] : findings) {
    const auto cause = std::ranges::find_if(
        causes, [&, finding = result](const Cause& one) { return explains(one, *finding); });
    if (cause != causes.end()) roots[id] = cause->id;
  }
  for (CheckResult& result : results) {
    auto cause = roots.find(result.requirement->id);
    if (cause == roots.end()) continue;
    std::string_view root = cause->second;
    while ((cause = roots.find(root)) != roots.end()) root = cause->second;
    follow(result, root);
  }
}

bool is_named(const std::vector<std::string>& only, std::string_view id) {
  return std::ranges::any_of(only, [&](const std::string& prefix) {
    return id == prefix || id.starts_with(prefix + "-");
  });
}

}  // namespace hyperpod::conformance::check
