// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

namespace hyperpod::bench {
namespace {

using std::chrono::milliseconds;

// User and system time of a process and of the processes under it.
struct Ticks {
  std::uint64_t user = 0;
  std::uint64_t system = 0;
};

std::optional<Ticks> ticks_of_tree(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream file(folder + "/stat");
  std::string text;
  std::getline(file, text);
  // The second field, the name in parentheses, may hold spaces; utime and stime are 14 and 15.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  Ticks ticks;
  if (!(fields >> ticks.user >> ticks.system)) return std::nullopt;
  std::ifstream children(folder + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child = 0; children >> child;) {
    const Ticks more = ticks_of_tree(child).value_or(Ticks{});
    ticks.user += more.user;
    ticks.system += more.system;
  }
  return ticks;
}

}  // namespace

Result<base::ChildProcess> start(const std::vector<std::string>& arguments) {
  // As many descriptors as there may be: two thousand connections end here.
  std::vector<std::string> all{"/bin/sh", "-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto child = base::ChildProcess::start(
      {.arguments = std::move(all), .pipe_output = true, .signal_at_parents_end = SIGTERM});
  if (!child) return failure(child.error().message);
  return std::move(*child);
}

Result<CpuTime> cpu_time(pid_t pid) {
  const auto ticks = ticks_of_tree(pid);
  if (!ticks) return failure("the CPU time of a process cannot be read");
  const auto ticks_a_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return CpuTime{milliseconds(ticks->user * 1000 / ticks_a_second),
                 milliseconds(ticks->system * 1000 / ticks_a_second)};
}

Result<std::chrono::milliseconds> cpu_time_of(pid_t pid, const std::string& thread) {
  std::error_code ec;
  std::chrono::nanoseconds all{};
  const std::filesystem::directory_iterator tasks("/proc/" + std::to_string(pid) + "/task", ec);
  if (ec) return failure("the CPU time of its threads cannot be read");
  for (const auto& task : tasks) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    std::int64_t on_cpu = 0;  // the first of schedstat's figures, in nanoseconds
    if (name == thread) std::ifstream(task.path() / "schedstat") >> on_cpu;
    all += std::chrono::nanoseconds(on_cpu);
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(all);
}

Result<Usage> usage(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  Usage usage;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t value = 0;
    fields >> name >> value;
    if (name == "RssAnon:" || name == "RssFile:") usage.private_bytes += value * 1024;
    if (name == "Threads:") usage.threads = value;
  }
  if (usage.threads == 0) return failure("the memory and threads of a process cannot be read");
  return usage;
}

bool runs(const std::vector<std::string>& arguments) {
  auto child = start(arguments);
  return child && child->wait() == 0;
}

std::string find_program(const std::string& name) {
  const char* variable = std::getenv("PATH");
  std::istringstream folders(std::string(variable ? variable : "") + ":/usr/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    folder.append("/").append(name);
    if (::access(folder.c_str(), X_OK) == 0) return folder;
  }
  return {};
}

std::string own_folder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

Result<TemporaryFolder> TemporaryFolder::create() {
  std::error_code error;
  std::string path = std::filesystem::temp_directory_path(error) / "hyperpod-bench-XXXXXX";
  if (!::mkdtemp(path.data())) return system_failure("no temporary folder could be made");
  return TemporaryFolder(std::move(path));
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace hyperpod::bench
