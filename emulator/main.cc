// SPDX-License-Identifier: Apache-2.0
// hyperpod-emulator: the daemon as a process of its own.
#include <fcntl.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "admin/healthcheck.h"
#include "config/command_line.h"
#include "config/log.h"
#include "config/ready_file.h"
#include "core/segment.h"
#include "hyperpod/base/spdlog.h"
#include "hyperpod/emulator/emulator.h"

namespace hyperpod::emulator {
namespace {

constexpr int unhealthy = 1;
constexpr int cannot_serve = 1;
constexpr int unusable_arguments = 2;

// --- Signals: no way out that a process can catch leaves a segment behind.

constexpr std::array ending_signals{SIGTERM, SIGINT};
// Those that end a process by default, except for the two above and SIGPIPE.
constexpr std::array fatal_signals{
    SIGHUP,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   SIGBUS,    SIGFPE,  SIGSEGV, SIGSYS, SIGXCPU,
    SIGXFSZ, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGSTKFLT, SIGPROF, SIGIO,   SIGPWR};

std::array<struct sigaction, NSIG> former_actions{};

// Ends the process as the signal would have ended it, by its former action (a sanitizer's report,
// say). Async-signal-safe.
void remove_segment_and_die(int signal) {
  core::Segment::unlink_all_on_crash();
  ::sigaction(signal, &former_actions[static_cast<std::size_t>(signal)], nullptr);
  ::raise(signal);  // delivered when this handler returns
}

struct sigaction dying_action() {
  struct sigaction action {};
  action.sa_handler = remove_segment_and_die;
  sigfillset(&action.sa_mask);
  return action;
}

void guard_against_crashes() {
  const struct sigaction action = dying_action();
  for (const int signal : fatal_signals) {
    struct sigaction& former = former_actions[static_cast<std::size_t>(signal)];
    ::sigaction(signal, nullptr, &former);
    if (former.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);  // nohup stays
  }
  std::signal(SIGPIPE, SIG_IGN);
}

sigset_t set_of_ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : ending_signals) sigaddset(&set, signal);
  return set;
}

// Blocks the ending signals for this thread and those it starts, so that only wait_for_end sees
// them.
void hold_ending_signals() {
  const sigset_t set = set_of_ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Returns the first ending signal. From then on another one ends the process at once.
int wait_for_end() {
  const sigset_t set = set_of_ending_signals();
  int signal = 0;
  ::sigwait(&set, &signal);
  const struct sigaction action = dying_action();
  for (const int other : ending_signals) ::sigaction(other, &action, nullptr);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return signal;
}

// --- The run

// A process started without one of the three would give its number to the segment.
void keep_standard_descriptors() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    return;
  }
}

int fail(const Error& error) {
  std::fprintf(stderr, "hyperpod-emulator: %s\n", error.message.c_str());
  const bool usage =
      error.code == ErrorCode::invalid_option || error.code == ErrorCode::tls_unusable;
  return usage ? unusable_arguments : cannot_serve;
}

std::string ready_line(const Emulator& emulator) {
  using Json = nlohmann::ordered_json;
  const std::string& admin = emulator.admin_url();
  const Json ready{
      {"event", "ready"},
      {"url", emulator.url()},
      {"admin", admin.empty() ? Json() : Json(admin)},
      {"shm_name", emulator.shm_name()},
      {"capacity", emulator.capacity()},
      {"pid", ::getpid()},
  };
  return ready.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// What only the program can make of its settings.
Result<void> complete(config::Configuration& configuration) {
  if (configuration.clock == config::ClockKind::manual) {
    configuration.options.clock = std::make_shared<ManualClock>();
  }
  if (configuration.scenario.empty()) return {};
  auto faults = load_scenario(configuration.scenario);
  if (!faults) return tl::unexpected(faults.error());
  configuration.options.faults = std::move(*faults);
  return {};
}

int check(const config::Healthcheck& asked) {
  const auto healthy = admin::check_health(asked.url);
  if (healthy) return 0;
  std::fprintf(stderr, "hyperpod-emulator: %s\n", healthy.error().message.c_str());
  return unhealthy;
}

int serve(config::Configuration configuration) {
  if (auto completed = complete(configuration); !completed) return fail(completed.error());
  const auto logger =
      config::make_logger(configuration.log, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  for (const std::string& warning : configuration.warnings) logger->warn(warning);
  configuration.options.log = base::log_to(logger);

  const std::string& ready_file = configuration.ready_file;
  if (!ready_file.empty()) {
    if (auto cleared = config::clear_ready_file(ready_file); !cleared) return fail(cleared.error());
  }
  auto emulator = Emulator::start(std::move(configuration.options));
  if (!emulator) return fail(emulator.error());

  const std::string ready = ready_line(*emulator);
  if (!ready_file.empty()) {
    if (auto written = config::write_ready_file(ready_file, ready); !written)
      return fail(written.error());
  }
  if (std::fputs(ready.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    logger->warn("the ready line could not be printed: {}", std::strerror(errno));
  }

  const int signal = wait_for_end();
  logger->info("SIG{} received, stopping; another one stops at once", ::sigabbrev_np(signal));
  if (!ready_file.empty()) ::unlink(ready_file.c_str());
  emulator->stop();
  return 0;
}

int run(int argc, const char* const* argv) {
  keep_standard_descriptors();
  hold_ending_signals();
  guard_against_crashes();
  auto parsed = config::parse_command_line(argc, argv);
  if (!parsed) return fail(parsed.error());
  if (const auto* printout = std::get_if<config::Printout>(&*parsed)) {
    std::fputs(printout->text.c_str(), stdout);
    return 0;
  }
  if (const auto* asked = std::get_if<config::Healthcheck>(&*parsed)) return check(*asked);
  return serve(std::get<config::Configuration>(std::move(*parsed)));
}

}  // namespace
}  // namespace hyperpod::emulator

int main(int argc, char** argv) { return hyperpod::emulator::run(argc, argv); }
