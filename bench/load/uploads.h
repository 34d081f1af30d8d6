// SPDX-License-Identifier: Apache-2.0
// Large bodies sent as fast as one machine's sockets carry them: the load of the PUT rows.
//
// A thread for each connection sends a body, waits for its response, and takes the next. The same
// code feeds the emulator and the raw receiver; only the bytes before a body differ.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "error.h"

namespace hyperpod::bench {

struct Upload {
  std::uint16_t port = 0;
  unsigned connections = 1;
  /// Numbers of the bodies: `first` … `first + count - 1`, shared out as threads become free.
  std::uint64_t first = 0;
  std::uint64_t count = 1;
  std::string_view body;
  /// At most so many bytes of a body in one send.
  std::size_t piece = std::string_view::npos;
  /// The bytes to send before the body of that number.
  std::function<std::string(std::uint64_t number)> head;
  /// True once `received` is the whole response; an error if it cannot become a good one.
  std::function<Result<bool>(std::string_view received)> accepted;
};

/// Sends all bodies and returns the bytes of body sent a second, until the last response.
Result<double> upload(const Upload& options);

}  // namespace hyperpod::bench
