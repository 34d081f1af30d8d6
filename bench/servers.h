// SPDX-License-Identifier: Apache-2.0
// The servers that are compared, each started as a child process on a free loopback port.
//
// Starting returns once the server responses. A comparator that is not installed is
// ErrorCode::missing. Destruction stops the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "process.h"

namespace hyperpod::bench {

struct Server {
  Server(base::ChildProcess started, std::uint16_t on) : child(std::move(started)), port(on) {}
  Server(Server&&) = default;
  /// Asks it to stop, so that it removes its segment.
  ~Server() {
    if (child.pid() > 0) child.stop();
  }

  base::ChildProcess child;
  std::uint16_t port;
  std::string segment = {};  ///< Name of its shared memory, without a slash; empty if it has none.
  std::uint16_t admin_port = 0;  ///< 0: it has none.
};

/// Where the emulator puts the blocks of an object.
enum class Placement { contiguous, scattered };

/// hyperpod-emulator from the folder of this program, without an admin port, with a segment of its
/// own of `capacity` bytes in blocks of `block_size`; `more` are further arguments, --admin among
/// them if there is to be such a port.
Result<Server> start_emulator(std::uint64_t capacity, std::uint64_t block_size,
                              Placement placement = Placement::contiguous,
                              const std::vector<std::string>& more = {});

/// nginx with one worker a core that answers every lease request with `lease_body` and everything
/// else with `other_body`, both with status 200. `program` is where to find it; empty searches.
Result<Server> start_nginx(const std::string& program, const std::string& lease_body,
                           const std::string& other_body);

/// comparators/aiohttp_daemon.py on Debian's Python.
Result<Server> start_aiohttp_daemon(std::uint64_t capacity);

/// What python_client.py measures of `kind` with the Python package of this build: gets a second,
/// or milliseconds for "start". ErrorCode::missing if the package is not built.
Result<double> run_python_client(const std::string& kind, const Server& emulator,
                                 const std::vector<std::string>& keys, std::size_t object_bytes,
                                 std::chrono::milliseconds duration);

/// Gets a second of comparators/aiohttp_client.py, which reads `keys` from the emulator and its
/// segment, objects of so many bytes, all at once and over and over, for so long.
Result<double> run_aiohttp_client(const Server& emulator, const std::vector<std::string>& keys,
                                  std::size_t object_bytes, std::chrono::milliseconds duration);

/// How the raw receiver waits for bytes: see comparators/raw_receiver.cc.
enum class Receiving { threads, epoll };

/// comparators/raw_receiver.cc, for bodies of `body` bytes each.
Result<Server> start_raw_receiver(std::uint64_t capacity, std::uint64_t body, Receiving how);

}  // namespace hyperpod::bench
