// SPDX-License-Identifier: Apache-2.0
// For tests: the threads that the emulator has started in this process, by their names. What else
// runs here (the test's own threads, a sanitizer's) is not counted.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace hyperpod::emulator::test {

/// Threads whose name begins with `prefix`: "hyperpod-io", "hyperpod-admin", or both.
inline std::size_t own_threads(const std::string& prefix = "hyperpod-") {
  std::size_t count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    if (name.starts_with(prefix)) ++count;
  }
  return count;
}

}  // namespace hyperpod::emulator::test
