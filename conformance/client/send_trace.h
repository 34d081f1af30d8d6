// SPDX-License-Identifier: Apache-2.0
// The sizes of what another process sends, as its system calls show them.
//
// The process must be a child of this one. A SendTrace is used by the thread that made it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "probe/time.h"

namespace hyperpod::conformance::client {

class SendTrace {
 public:
  /// Attaches to all threads of the process.
  explicit SendTrace(pid_t pid);
  ~SendTrace();  ///< Lets the process go on by itself.
  SendTrace(const SendTrace&) = delete;
  SendTrace& operator=(const SendTrace&) = delete;

  /// False where the kernel or the container does not allow it; obstacle() says why.
  bool begun() const { return obstacle_.empty(); }
  const std::string& obstacle() const { return obstacle_; }

  /// Lets the process run until it has sent so many bytes or `patience` has passed, and then by
  /// itself; how many each write, send or sendmsg to a socket took meanwhile.
  std::vector<std::uint64_t> run(std::uint64_t bytes, Duration patience);

 private:
  void adopt(pid_t thread);
  void detach();
  bool is_socket(int fd) const;

  pid_t pid_;
  std::set<pid_t> threads_;
  std::string obstacle_;
};

}  // namespace hyperpod::conformance::client
