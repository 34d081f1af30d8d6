// SPDX-License-Identifier: Apache-2.0
// hyperpod-emulator: the daemon as a process of its own.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

#include "admin/healthcheck.h"
#include "config/bounded_write.h"
#include "config/command_line.h"
#include "config/log.h"
#include "config/ready_file.h"
#include "config/token_file.h"
#include "core/signals.h"
#include "hyperpod/base/descriptor_limit.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/standard_descriptors.h"
#include "hyperpod/emulator/emulator.h"
#include "text/log.h"

namespace hyperpod::emulator {
namespace {

using base::LogLevel;

constexpr int unhealthy = 1;
constexpr int cannot_serve = 1;
constexpr int unusable_arguments = 2;

// --- Signals: no way out that a process can catch leaves a segment behind.

// What the handler of the stopping signals reads and writes.
std::atomic<bool> serving{false};
std::atomic<int> stopped_by{0};
std::atomic<int> wake_descriptor{-1};

// The first one wakes stop_reason(), another one ends the process at once. While the emulator still
// starts nothing is in flight, and the process ends as it would have later.
void stop_or_die(int signal, siginfo_t* details, void* /*context*/) {
  if (!serving) {
    core::remove_listed_segments();
    ::_exit(0);
  }
  int none = 0;
  if (!stopped_by.compare_exchange_strong(none, signal)) {
    core::remove_segments_and_die(signal, details);
  }
  const int error = errno;
  const std::uint64_t once = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor, &once, sizeof once);
  errno = error;
}

Result<base::FileDescriptor> guard_against_signals() {
  base::FileDescriptor wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake) return tl::make_unexpected(base::system_error("cannot wait for signals", errno));
  wake_descriptor = wake.get();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of files' sizes fails, and is told of
  core::remove_segments_on(core::ending_signals(), core::Replace::defaults_handlers);
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction action {};
  action.sa_sigaction = stop_or_die;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  for (const int signal : core::stopping_signals) ::sigaction(signal, &action, nullptr);
  // The parent may have had them blocked.
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  return wake;
}

// Becomes readable when the process that started this one ends.
Result<base::FileDescriptor> watch_parent(pid_t parent) {
  if (parent == 0) {
    return tl::make_unexpected(
        Error{ErrorCode::invalid_option,
              "--exit-with-parent: the parent is in another PID namespace and cannot be watched; "
              "leave the option out"});
  }
  base::FileDescriptor watched(static_cast<int>(::syscall(SYS_pidfd_open, parent, 0)));
  const int error = errno;
  if (::getppid() != parent || (!watched && error == ESRCH)) {
    return tl::make_unexpected(
        Error{ErrorCode::closed, "--exit-with-parent: the parent has ended before the start"});
  }
  if (!watched) {
    return tl::make_unexpected(
        base::system_error("--exit-with-parent: cannot watch the parent", error));
  }
  return watched;
}

// Waits until there is a reason to stop. `parent` may be none.
std::string stop_reason(const base::FileDescriptor& wake, const base::FileDescriptor& parent) {
  std::array<pollfd, 2> watched{
      {{.fd = wake.get(), .events = POLLIN, .revents = 0},
       {.fd = parent.get(), .events = POLLIN, .revents = 0}}};  // poll ignores a negative one
  while (::poll(watched.data(), watched.size(), -1) <= 0) {
  }
  if (stopped_by == 0) return "the parent has ended, stopping";
  return std::string("SIG") + ::sigabbrev_np(stopped_by) +
         " received, stopping; another one stops at once";
}

// --- The run

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
  switch (configuration.clock) {
    case config::ClockKind::real:
      break;
    case config::ClockKind::manual:
      configuration.options.clock = std::make_shared<ManualClock>();
      break;
    case config::ClockKind::adjustable:
      configuration.options.clock = std::make_shared<AdjustableClock>();
      break;
  }
  if (!configuration.admin_token_file.empty()) {
    auto token = config::read_token(configuration.admin_token_file);
    if (!token) return tl::unexpected(token.error());
    configuration.options.admin_token = std::move(*token);
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

// Prints the ready line, unless the reader of stdout does not read while a signal comes.
Result<void> print(std::string_view line) {
  return config::bounded_write(STDOUT_FILENO, line, [] { return stopped_by != 0; });
}

int serve(config::Configuration configuration, pid_t parent) {
  const auto wake = guard_against_signals();
  if (!wake) return fail(wake.error());
  base::FileDescriptor watched;
  if (configuration.exit_with_parent) {
    auto watching = watch_parent(parent);
    if (!watching) return fail(watching.error());
    watched = std::move(*watching);
  }
  if (auto completed = complete(configuration); !completed) return fail(completed.error());
  const auto log = config::Log::start(configuration.log, STDERR_FILENO);
  if (!log) return fail(log.error());
  for (const std::string& warning : configuration.warnings) {
    text::log(*log, LogLevel::warn, "{}", warning);
  }
  configuration.options.log = *log;
  const auto fail_after_log = [&](const Error& error) {
    (*log)->close();  // first, so that the error is the last line
    return fail(error);
  };

  auto ready_file = config::ReadyFile::prepare(configuration.ready_file);
  if (!ready_file) return fail_after_log(ready_file.error());
  auto emulator = Emulator::start(std::move(configuration.options));
  if (!emulator) return fail_after_log(emulator.error());
  serving = true;

  const std::string ready = ready_line(*emulator);
  if (auto written = ready_file->write(ready); !written) return fail_after_log(written.error());
  if (auto printed = print(ready); !printed) {
    text::log(*log, LogLevel::warn, "the ready line could not be printed: {}",
              printed.error().message);
  }

  text::log(*log, LogLevel::info, "{}", stop_reason(*wake, watched));
  ready_file->remove();
  emulator->stop();
  (*log)->close();
  return 0;
}

int run(int argc, const char* const* argv) {
  const pid_t parent = ::getppid();  // before it can end unnoticed
  auto parsed = config::parse_command_line(argc, argv, environ);
  if (!parsed) return fail(parsed.error());
  if (const auto* printout = std::get_if<config::Printout>(&*parsed)) {
    if (std::fputs(printout->text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return 0;
    return fail(base::system_error("cannot write to standard output", errno));
  }
  if (const auto* asked = std::get_if<config::Healthcheck>(&*parsed)) return check(*asked);
  return serve(std::get<config::Configuration>(std::move(*parsed)), parent);
}

}  // namespace
}  // namespace hyperpod::emulator

int main(int argc, char** argv) {
  hyperpod::base::take_standard_descriptors();
  hyperpod::base::raise_descriptor_limit();
  return hyperpod::emulator::run(argc, argv);
}
