// SPDX-License-Identifier: Apache-2.0
// For tests: a /dev/shm of one's own, as small as a container's.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hyperpod::emulator::test {

/// Runs `body` in a forked process that has a /dev/shm of `size` bytes to itself, and gives what it
/// returns, from 0 to 99. Nothing where a process may not make itself one.
inline std::optional<int> with_small_shm(std::uint64_t size, const std::function<int()>& body) {
  constexpr int not_permitted = 100;
  const pid_t child = ::fork();
  if (child == 0) {
    const int wanted = ::getuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS;
    const bool own =
        ::unshare(wanted) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("none", "/dev/shm", "tmpfs", 0, ("size=" + std::to_string(size)).c_str()) == 0;
    ::_exit(own ? body() : not_permitted);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return std::nullopt;
  if (!WIFEXITED(status)) return -WTERMSIG(status);
  if (WEXITSTATUS(status) == not_permitted) return std::nullopt;
  return WEXITSTATUS(status);
}

}  // namespace hyperpod::emulator::test
