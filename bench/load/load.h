// SPDX-License-Identifier: Apache-2.0
// The load generator: keep-alive connections to one server, one request outstanding on each.
//
// Connections are shared out to threads, each with an epoll loop of its own. The generator does
// two system calls a request (send, receive) and next to nothing else, so that on a small machine
// the server, not the generator, is what is measured.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "error.h"
#include "hyperpod/base/file_descriptor.h"
#include "load/latencies.h"
#include "load/response.h"

namespace hyperpod::bench {

/// What is asked on each connection. Called from several threads, but never from two for the same
/// connection; keep state by connection.
class Workload {
 public:
  virtual ~Workload() = default;
  /// Replaces `request` by the connection's next one, which must fit into a socket's buffer
  /// (64 KiB do). False if there is none. When `stopping`, only what has been begun is to be
  /// finished, such as releasing a lease.
  virtual bool next(std::size_t connection, bool stopping, std::string& request) = 0;
  /// False if the response is not the one wanted, which ends the run as failed.
  virtual bool answered(std::size_t connection, const Response& response) = 0;
};

struct RunOptions {
  /// Responses of this time are not counted.
  std::chrono::milliseconds warm_up{0};
  /// Responses of this time, after the warm-up, are counted; then the run stops. A workload that
  /// has no more requests ends it earlier.
  std::chrono::milliseconds duration{1000};
};

struct RunResult {
  Latencies latencies;          ///< Of the requests counted.
  double seconds = 0;           ///< In which they were answered.
  std::uint64_t responses = 0;  ///< All of them, those of the warm-up and of the end included.

  double rate() const { return static_cast<double>(latencies.count()) / seconds; }
};

/// Open connections, and the runs made over them.
class Load {
 public:
  static Result<Load> connect(std::uint16_t port, std::size_t connections, std::size_t threads = 1);

  /// Fails if a response is refused by the workload, is missing for ten seconds, or a connection is
  /// closed by the server.
  Result<RunResult> run(Workload& workload, const RunOptions& options);

 private:
  Load(std::vector<base::FileDescriptor> sockets, std::size_t threads);

  std::vector<base::FileDescriptor> sockets_;
  std::size_t threads_;
};

}  // namespace hyperpod::bench
