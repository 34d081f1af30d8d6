// SPDX-License-Identifier: Apache-2.0
#include "config/bounded_write.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace hyperpod::emulator::config {

base::Result<void> bounded_write(int descriptor, std::string_view text,
                                 const std::function<bool()>& give_up) {
  constexpr int step_ms = 100;
  while (!text.empty()) {
    pollfd writable{.fd = descriptor, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&writable, 1, step_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (!give_up()) continue;
      return tl::make_unexpected(
          base::Error{base::ErrorCode::cancelled, "nobody reads what is written"});
    }
    // A pipe that can be written takes this much without blocking.
    const ssize_t written =
        ::write(descriptor, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      return tl::make_unexpected(base::system_error("cannot write", errno));
    }
  }
  return {};
}

}  // namespace hyperpod::emulator::config
