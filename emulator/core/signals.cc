// SPDX-License-Identifier: Apache-2.0
#include "core/signals.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::core {

// Everything that a handler reads is an atomic, or written before `ready` is and not changed until
// `ready` is false.
struct CrashListing::Entry {
  using Path = std::array<char, 300>;

  std::atomic<bool> used{false};
  std::atomic<bool> ready{false};
  pid_t pid = 0;
  ino_t owner_inode = 0;
  std::array<std::atomic<ino_t>, 3> inodes{};
  std::atomic<std::uintptr_t> memory{0};
  std::atomic<std::size_t> memory_size{0};
  Path segment{};
  Path owner{};
  Path coming{};
  Path aside{};
};

std::array<CrashListing::Entry, 256> CrashListing::entries_;

namespace {

std::array<struct sigaction, NSIG> former_actions{};

/// A line on stderr, unless that would block. Async-signal-safe.
void say(std::initializer_list<std::string_view> parts) noexcept {
  std::array<char, 1024> line{};
  std::size_t size = 0;
  for (const std::string_view part : parts) {
    const std::size_t length = std::min(part.size(), line.size() - size);
    std::copy_n(part.data(), length, line.data() + size);
    size += length;
  }
  pollfd writable{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), size);
}

void handle(int signal, siginfo_t* details, void* /*context*/) {
  remove_segments_and_die(signal, details);
}

}  // namespace

CrashListing::CrashListing(const SegmentPaths& paths, ino_t owner_file) {
  for (Entry& entry : entries_) {
    if (entry.used.exchange(true)) continue;
    entry.pid = ::getpid();
    entry.owner_inode = owner_file;
    paths.segment.copy(entry.segment.data(), entry.segment.size() - 1);
    paths.owner.copy(entry.owner.data(), entry.owner.size() - 1);
    paths.coming.copy(entry.coming.data(), entry.coming.size() - 1);
    paths.aside.copy(entry.aside.data(), entry.aside.size() - 1);
    entry.ready = true;
    entry_ = &entry;
    return;
  }
}

CrashListing::CrashListing(CrashListing&& other) noexcept
    : entry_(std::exchange(other.entry_, nullptr)) {}

CrashListing& CrashListing::operator=(CrashListing&& other) noexcept {
  std::swap(entry_, other.entry_);
  return *this;
}

CrashListing::~CrashListing() {
  if (entry_ == nullptr) return;
  entry_->ready = false;
  set_inodes(0);
  set_memory({});
  for (Entry::Path* const path :
       {&entry_->segment, &entry_->owner, &entry_->coming, &entry_->aside}) {
    path->fill('\0');
  }
  entry_->used = false;
}

void CrashListing::set_inodes(ino_t segment, ino_t coming, ino_t placeholder) {
  if (entry_ == nullptr) return;
  entry_->inodes[0] = segment;
  entry_->inodes[1] = coming;
  entry_->inodes[2] = placeholder;
}

void CrashListing::set_memory(std::span<const std::byte> memory) {
  if (entry_ == nullptr) return;
  entry_->memory_size = 0;  // first, so that a handler sees no pair that never was
  entry_->memory = reinterpret_cast<std::uintptr_t>(memory.data());
  entry_->memory_size = memory.size();
}

void remove_listed_segments() noexcept {
  const auto unlink_one_of = [](const char* path, std::span<const std::atomic<ino_t>> inodes) {
    struct stat info {};
    if (::lstat(path, &info) != 0) return;
    for (const auto& inode : inodes) {
      if (inode == info.st_ino) ::unlink(path);
    }
  };
  for (CrashListing::Entry& entry : CrashListing::entries_) {
    if (!entry.ready || entry.pid != ::getpid()) continue;
    unlink_one_of(entry.segment.data(), entry.inodes);
    unlink_one_of(entry.aside.data(), entry.inodes);
    unlink_one_of(entry.coming.data(), entry.inodes);
    struct stat owner {};
    if (::lstat(entry.owner.data(), &owner) == 0 && owner.st_ino == entry.owner_inode) {
      ::unlink(entry.owner.data());
    }
  }
}

void remove_segments_and_die(int signal, const siginfo_t* details) noexcept {
  const auto fault = signal == SIGBUS && details != nullptr && details->si_code > 0
                         ? reinterpret_cast<std::uintptr_t>(details->si_addr)
                         : std::uintptr_t{0};
  for (const CrashListing::Entry& entry : CrashListing::entries_) {
    const std::uintptr_t begin = entry.memory;
    if (fault == 0 || !entry.ready || fault < begin || fault - begin >= entry.memory_size) continue;
    say({"hyperpod-emulator: the memory of segment ", entry.segment.data(),
         " is gone: another process has truncated it; nothing but the emulator may change it; "
         "ending, and removing it\n"});
  }
  remove_listed_segments();

  struct sigaction& former = former_actions[static_cast<std::size_t>(signal)];
  ::sigaction(signal, &former, nullptr);
  sigset_t this_one;
  sigemptyset(&this_one);
  sigaddset(&this_one, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &this_one, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // only process 1 of a container comes here
}

std::vector<int> ending_signals() {
  std::vector signals{SIGHUP,  SIGQUIT, SIGILL,  SIGTRAP,   SIGABRT,  SIGBUS,  SIGFPE,
                      SIGSEGV, SIGSYS,  SIGXCPU, SIGXFSZ,   SIGALRM,  SIGUSR1, SIGUSR2,
                      SIGIO,   SIGPWR,  SIGPROF, SIGVTALRM, SIGSTKFLT};
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) signals.push_back(signal);
  return signals;
}

void remove_segments_on(std::span<const int> signals, Replace replace) {
  for (const int signal : signals) {
    HYPERPOD_REQUIRE(signal > 0 && signal < NSIG);
    struct sigaction former {};
    ::sigaction(signal, nullptr, &former);
    const bool has_handler = (former.sa_flags & SA_SIGINFO) != 0 ||
                             (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN);
    if (has_handler && (former.sa_sigaction == handle || replace == Replace::defaults)) continue;
    if (!has_handler && former.sa_handler == SIG_IGN) continue;  // nohup stays
    former_actions[static_cast<std::size_t>(signal)] = former;
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    sigfillset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
}

}  // namespace hyperpod::emulator::core
