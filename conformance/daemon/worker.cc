// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "hyperpod/base/child_process.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

constexpr Requirement work{"WORKER", Chapter::concurrency, Mark::inferred, "", ""};
constexpr auto hold_time = 500ms;

/// Asks again and again over all sessions for keys that nobody stores.
void hold_requests(Check& check, std::vector<Session>& sessions, TimePoint end,
                   WorkerFigures& figures) {
  while (now() < end) {
    for (Session& session : sessions)
      session.send(acquire_request(check.fresh_name(), {.hold = hold_time}));
    for (Session& session : sessions) {
      ++(is_miss(session.response(check.span(5s) + hold_time)) ? figures.held : figures.wrong);
    }
  }
}

/// Stores, leases and releases objects; the duration of each request in milliseconds.
std::vector<double> do_operations(Check& check, Session& session, TimePoint end,
                                  WorkerFigures& figures) {
  std::vector<double> times;
  const std::string body = check.bytes(16 * 1024);
  const auto count = [&](const Response& response) {
    times.push_back(std::chrono::duration<double, std::milli>(response.took()).count());
    return response.status == 200;
  };
  while (now() < end) {
    const Name name = check.fresh_name();
    if (!count(session.put(name, body))) ++figures.wrong;
    const Response granted = session.acquire(name);
    if (count(granted)) {
      const Grant grant = check.grant_in(granted);
      if (check.read(grant) != body) ++figures.wrong;
      if (!count(session.release(grant.id))) ++figures.wrong;
      check.forget(grant);
      ++figures.granted;
    } else if (!is_miss(granted)) {
      ++figures.wrong;
    }
    ++figures.operations;
  }
  return times;
}

WorkerFigures from_json(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) throw SuiteFailure{"a worker process ended without figures: " + line};
  return {json.value("connected", std::uint64_t{0}),
          json.value("operations", std::uint64_t{0}),
          json.value("granted", std::uint64_t{0}),
          json.value("held", std::uint64_t{0}),
          json.value("wrong", std::uint64_t{0}),
          json.value("p99_ms", 0.0),
          json.value("slowest_ms", 0.0)};
}

}  // namespace

WorkerFigures run_worker(const Target& target, const WorkerOrder& order) {
  WorkerFigures figures;
  auto segment = Segment::open(target.shm_name);
  if (!segment) throw SuiteFailure{segment.error().message};
  Check check(target, work, std::make_shared<const Segment>(*std::move(segment)), order.seed);
  const std::size_t busy_count = std::clamp(order.connections / 4, 1u, 4u);
  std::vector<Session> busy;
  std::vector<Session> held;
  try {
    busy = check.connect_many(busy_count);
    held = check.connect_many(order.connections - busy_count);
  } catch (const Violation&) {
    ++figures.wrong;
    return figures;
  }
  figures.connected = order.connections;
  const TimePoint end = now() + order.duration;
  std::vector<WorkerFigures> parts(busy_count + 1);
  std::vector<std::vector<double>> times(busy_count);
  {
    std::vector<std::jthread> threads;
    const auto guarded = [](WorkerFigures& part, auto&& action) {
      try {
        action();
      } catch (const Violation&) {
        ++part.wrong;
      }
    };
    for (std::size_t i = 0; i < busy_count; ++i) {
      threads.emplace_back([&, i] {
        guarded(parts[i], [&] { times[i] = do_operations(check, busy[i], end, parts[i]); });
      });
    }
    guarded(parts.back(), [&] { hold_requests(check, held, end, parts.back()); });
  }
  check.release_open_leases();
  std::vector<double> all;
  for (const WorkerFigures& part : parts) {
    figures.operations += part.operations;
    figures.granted += part.granted;
    figures.held += part.held;
    figures.wrong += part.wrong;
  }
  for (const auto& some : times) all.insert(all.end(), some.begin(), some.end());
  if (all.empty()) return figures;
  std::ranges::sort(all);
  figures.p99_ms = all[all.size() * 99 / 100];
  figures.slowest_ms = all.back();
  return figures;
}

std::string to_json(const WorkerFigures& figures) {
  return nlohmann::json{{"connected", figures.connected},  {"operations", figures.operations},
                        {"granted", figures.granted},      {"held", figures.held},
                        {"wrong", figures.wrong},          {"p99_ms", figures.p99_ms},
                        {"slowest_ms", figures.slowest_ms}}
      .dump();
}

std::vector<WorkerFigures> run_worker_processes(const Target& target, const WorkerOrder& order,
                                                unsigned count) {
  std::vector<base::ChildProcess> children;
  for (unsigned i = 0; i < count; ++i) {
    std::vector<std::string> command{target.worker_program,
                                     "worker",
                                     "--url",
                                     target.endpoint.url(),
                                     "--shm-name",
                                     target.shm_name,
                                     "--bucket",
                                     target.bucket,
                                     "--run-id",
                                     target.run_id + "-w" + std::to_string(i),
                                     "--connections",
                                     std::to_string(order.connections),
                                     "--duration-ms",
                                     std::to_string(order.duration.count()),
                                     "--seed",
                                     std::to_string(order.seed + i),
                                     "--time-scale",
                                     std::to_string(target.time_scale)};
    if (!target.tls.ca_file.empty())
      command.insert(command.end(), {"--tls-ca", target.tls.ca_file});
    auto child = base::ChildProcess::start({.arguments = std::move(command)});
    if (!child) throw SuiteFailure{child.error().message};
    children.push_back(*std::move(child));
  }
  std::vector<WorkerFigures> figures;
  for (base::ChildProcess& child : children) {
    (void)child.wait();
    figures.push_back(from_json(child.output()));
  }
  return figures;
}

}  // namespace hyperpod::conformance::daemon
