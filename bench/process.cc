#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>

namespace hyperpod::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Only what is safe between fork and exec.
[[noreturn]] void become(const std::vector<char*>& arguments, int output, int errors,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execvp(arguments[0], arguments.data());
  constexpr std::string_view last_words = "there is no such program";
  [[maybe_unused]] const auto written =
      ::write(STDERR_FILENO, last_words.data(), last_words.size());
  ::_exit(127);
}

bool ended_within(pid_t pid, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

// User and system time of a process and of the processes under it.
std::optional<std::uint64_t> ticks_of_tree(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream file(folder + "/stat");
  std::string text;
  std::getline(file, text);
  // The second field, the name in parentheses, may hold spaces; utime and stime are 14 and 15.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  std::uint64_t ticks = user + system;
  std::ifstream children(folder + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child = 0; children >> child;) ticks += ticks_of_tree(child).value_or(0);
  return ticks;
}

}  // namespace

Child::Child(pid_t pid, FileDescriptor output, FileDescriptor errors)
    : pid_(pid), output_(std::move(output)), errors_(std::move(errors)) {}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)),
      received_(std::move(other.received_)) {}

Child::~Child() { stop(); }

Result<Child> Child::start(const std::vector<std::string>& arguments) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_failure("no pipe could be opened");
  FileDescriptor output(ends[0]);
  const FileDescriptor childs_output(ends[1]);
  FileDescriptor errors(::memfd_create("errors", MFD_CLOEXEC));
  if (!errors) return system_failure("no file for the errors of a child");
  std::vector<char*> raw(arguments.size() + 1);  // the last is null
  std::ranges::transform(arguments, raw.begin(), [](const std::string& argument) {
    return const_cast<char*>(argument.c_str());
  });
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return system_failure("cannot start " + arguments.front());
  if (pid == 0) become(raw, childs_output.get(), errors.get(), parent);
  return Child(pid, std::move(output), std::move(errors));
}

Result<std::string> Child::read_line(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (true) {
    if (const auto end = received_.find('\n'); end != received_.npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    pollfd readable{.fd = output_.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) {
      return failure("it printed nothing in time" + last_words());
    }
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
    if (got <= 0) return failure("it ended at once" + last_words());
    received_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::string Child::last_words() const {
  std::array<char, 4096> buffer{};
  const off_t size = ::lseek(errors_.get(), 0, SEEK_END);
  const ssize_t got = ::pread(errors_.get(), buffer.data(), buffer.size(),
                              std::max<off_t>(0, size - std::ssize(buffer)));
  std::string text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
  while (text.ends_with('\n')) text.pop_back();
  return text.empty() ? "" : ": " + text.substr(text.rfind('\n') + 1);
}

bool Child::running() const {
  siginfo_t end{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         end.si_pid == 0;
}

Result<milliseconds> Child::cpu_time() const {
  const auto ticks = ticks_of_tree(pid_);
  if (!ticks) return failure("its CPU time cannot be read");
  const auto ticks_a_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return milliseconds(*ticks * 1000 / ticks_a_second);
}

Result<Usage> Child::usage() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
  Usage usage;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t value = 0;
    fields >> name >> value;
    if (name == "RssAnon:" || name == "RssFile:") usage.private_bytes += value * 1024;
    if (name == "Threads:") usage.threads = value;
  }
  if (usage.threads == 0) return failure("its memory and threads cannot be read");
  return usage;
}

void Child::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  if (!ended_within(pid_, std::chrono::seconds(5))) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
}

bool runs(const std::vector<std::string>& arguments) {
  const auto child = Child::start(arguments);
  siginfo_t end{};
  return child && ::waitid(P_PID, static_cast<id_t>(child->pid()), &end, WEXITED | WNOWAIT) == 0 &&
         end.si_code == CLD_EXITED && end.si_status == 0;
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
