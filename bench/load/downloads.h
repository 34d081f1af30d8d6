// SPDX-License-Identifier: Apache-2.0
// Large bodies received as fast as one machine's sockets carry them: the counterpart of uploads.h.
//
// A thread for each connection asks for a body, receives all of it into the same buffer, and asks
// for the next.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "error.h"

namespace hyperpod::bench {

struct Download {
  std::uint16_t port = 0;
  unsigned connections = 1;
  std::uint64_t count = 1;  ///< Bodies, shared out as threads become free.
  std::uint64_t body_bytes = 0;
  /// What asks for the body of that number.
  std::function<std::string(std::uint64_t number)> request;
  bool http = true;  ///< Before the body comes a head of status 200.
};

/// Receives all bodies and returns the bytes of body received a second.
Result<double> download(const Download& options);

}  // namespace hyperpod::bench
