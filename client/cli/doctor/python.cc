// SPDX-License-Identifier: Apache-2.0
// LMCache's Python clients, as far as they can take the segment from the whole node.
//
// multiprocessing.shared_memory registers what a process merely attaches with CPython's resource
// tracker, which unlinks it when the process ends (LMCache issue 4234). Python 3.13 can be told not
// to, by track=False, and does it all the same if it is not told. So LMCache's text decides. It is
// read, not run; Python is asked only for its version and its path.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/doctor/checks.h"

namespace hyperpod::client::cli::doctor {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr const char* question =
    "import sys\nprint('%d.%d.%d' % sys.version_info[:3])\nprint('\\n'.join(sys.path[1:]))";

// The modules that attach the segment: of the in-process client, and of the multi-process one.
constexpr std::array<const char*, 2> attaching_modules = {
    "v1/storage_backend/connector/sagemaker_hyperpod_connector.py",
    "v1/distributed/l2_adapters/sagemaker_hyperpod_client.py"};

std::optional<std::string> find_program(const std::string& name, const std::string& path) {
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    folder.append("/").append(name);
    std::error_code error;
    if (fs::is_regular_file(folder, error) && access(folder.c_str(), X_OK) == 0) return folder;
  }
  return std::nullopt;
}

// Reads until the end of the stream; false if that has not come by the deadline.
bool read_until(int fd, SteadyClock::time_point deadline, std::string& text) {
  constexpr std::size_t most = 1 << 20;
  std::array<char, 4096> piece{};
  while (text.size() < most) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    pollfd poll{fd, POLLIN, 0};
    const int ready = left.count() > 0 ? ::poll(&poll, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t count = read(fd, piece.data(), piece.size());
    if (count <= 0) return count == 0;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  return false;
}

// What a program writes to its output; nullopt if it does not end in time, and then it is killed
// with all that it started.
std::optional<std::string> output_within(std::chrono::milliseconds limit,
                                         std::vector<std::string> arguments) {
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t child = -1;
  const int error =
      posix_spawn(&child, words.front(), &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);

  std::string text;
  const bool ended = error == 0 && read_until(pipe_ends[0], SteadyClock::now() + limit, text);
  close(pipe_ends[0]);
  if (error == 0) {
    kill(-child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  if (!ended) return std::nullopt;
  return text;
}

struct Python {
  std::string program;
  std::string version;            // "3.11.7"
  std::vector<std::string> path;  // where it looks for packages
};

struct Package {
  std::string folder;   // empty: only its metadata was found
  std::string version;  // "0.3.9", or "?"
};

std::optional<Package> find_lmcache(const std::vector<std::string>& path) {
  std::optional<Package> package;
  for (const std::string& folder : path) {
    std::error_code error;
    if (!package && fs::is_directory(folder + "/lmcache", error)) {
      package = Package{folder + "/lmcache", "?"};
    }
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      constexpr std::string_view begin = "lmcache-";
      constexpr std::string_view end = ".dist-info";
      const std::string name = entry.path().filename();
      if (!name.starts_with(begin) || !name.ends_with(end)) continue;
      if (!package) package.emplace();
      package->version = name.substr(begin.size(), name.size() - begin.size() - end.size());
      return package;
    }
  }
  return package;
}

std::string read_module(const std::string& path) {
  constexpr std::size_t most = 1 << 20;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  std::ifstream file(path, std::ios::binary);
  std::string text(most, '\0');
  file.read(text.data(), static_cast<std::streamsize>(most));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

bool attaches_tracked(std::string_view module) {
  const auto has = [module](std::string_view text) { return module.find(text) != module.npos; };
  return has("SharedMemory(") && !has("track=False") && !has("resource_tracker") &&
         !has("PROT_READ");
}

std::optional<Python> find_python(const Machine& machine, Report& report) {
  const auto program = find_program("python3", machine.environment("PATH").value_or(""));
  if (!program) {
    report.ok("python-none", "no python3 on PATH, hence no LMCache to look into");
    return std::nullopt;
  }
  const auto output = output_within(machine.patience.python, {*program, "-c", question});
  std::istringstream lines(output.value_or(""));
  Python python{*program, {}, {}};
  std::getline(lines, python.version);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) python.path.push_back(line);
  }
  if (python.version.empty()) {
    report.warning("python-silent",
                   fmt::format("{} does not tell its version within {} ms", *program,
                               machine.patience.python.count()),
                   "run `python3 --version`; whether LMCache unlinks the segment is not known");
    return std::nullopt;
  }
  return python;
}

}  // namespace

void check_python(const Machine& machine, bool exposed, Report& report) {
  const auto python = find_python(machine, report);
  if (!python) return;
  const auto package = find_lmcache(python->path);
  if (!package) {
    report.ok("lmcache-none",
              fmt::format("{} is Python {}, without LMCache", python->program, python->version));
    return;
  }
  std::vector<std::string> tracked;
  bool found_any = false;
  for (const char* module : attaching_modules) {
    const std::string text = read_module(package->folder + "/" + module);
    found_any |= !text.empty();
    if (attaches_tracked(text)) tracked.emplace_back(module);
  }
  const std::string what =
      fmt::format("LMCache {} under Python {}", package->version, python->version);
  const nlohmann::json details = {{"python", python->version},
                                  {"lmcache", package->version},
                                  {"folder", package->folder},
                                  {"modules", tracked}};
  constexpr const char* remedy =
      "mount the one file instead of all of /dev/shm, for a mount point cannot be unlinked; or "
      "take "
      "a client that maps the segment read-only, as LMCache's multi-process mode does since its "
      "pull request 4181";
  if (!found_any) {
    report.warning("lmcache-unknown",
                   fmt::format("{}: its modules for this daemon cannot be found, so whether it "
                               "unlinks the segment when it ends is not known (LMCache issue 4234)",
                               what),
                   remedy, details);
  } else if (tracked.empty()) {
    report.ok("lmcache", fmt::format("{} leaves the segment alone", what), details);
  } else if (!exposed) {
    report.ok(
        "lmcache-mounted",
        fmt::format("{} would unlink the segment when it ends (LMCache issue 4234), but cannot "
                    "from here",
                    what),
        details);
  } else {
    report.warning(
        "lmcache-unlinks",
        fmt::format("{} attaches the segment so that Python's resource tracker unlinks it "
                    "when the process ends (LMCache issue 4234), in {}",
                    what, fmt::join(tracked, " and ")),
        remedy, details);
  }
}

}  // namespace hyperpod::client::cli::doctor
