#include "daemon/worker.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <thread>

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

constexpr Requirement work{"WORKER", Chapter::concurrency, Mark::inferred, "", ""};
constexpr auto hold = 500ms;

/// Asks again and again over all sessions for keys that nobody stores.
void hold_requests(Check& check, std::vector<Session>& sessions, Moment end,
                   WorkerFigures& figures) {
  while (now() < end) {
    for (Session& session : sessions)
      session.send(acquire_request(check.fresh_name(), {.hold = hold}));
    for (Session& session : sessions) {
      ++(is_miss(session.answer(check.span(5s) + hold)) ? figures.held : figures.wrong);
    }
  }
}

/// Stores, leases and releases objects; the duration of each request in milliseconds.
std::vector<double> do_operations(Check& check, Session& session, Moment end,
                                  WorkerFigures& figures) {
  std::vector<double> times;
  const std::string body = check.bytes(16 * 1024);
  const auto count = [&](const Answer& answer) {
    times.push_back(std::chrono::duration<double, std::milli>(answer.took()).count());
    return answer.status == 200;
  };
  while (now() < end) {
    const Name name = check.fresh_name();
    if (!count(session.put(name, body))) ++figures.wrong;
    const Answer granted = session.acquire(name);
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

class Child {
 public:
  explicit Child(const std::vector<std::string>& command) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw SuiteFailure{"no pipe could be had"};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const int error =
        ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    output_ = ends[0];
    if (error != 0) {
      ::close(output_);
      throw SuiteFailure{"the worker program \"" + command[0] + "\" cannot be started"};
    }
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    if (output_ >= 0) ::close(output_);
  }
  Child(Child&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}
  Child& operator=(Child&&) = delete;

  /// All that the child prints until it ends.
  std::string output() const {
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t got = 1; got > 0;) {
      got = ::read(output_, buffer.data(), buffer.size());
      if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

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
  const Moment end = now() + order.duration;
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
  check.tidy();
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
  std::vector<Child> children;
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
    children.emplace_back(command);
  }
  std::vector<WorkerFigures> figures;
  for (const Child& child : children) figures.push_back(from_json(child.output()));
  return figures;
}

}  // namespace hyperpod::conformance
