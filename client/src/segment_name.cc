// SPDX-License-Identifier: Apache-2.0
#include "segment_name.h"

#include <fmt/format.h>

#include <climits>

namespace hyperpod::client {

std::optional<Error> check_segment_name(std::string_view name) {
  const bool usable = !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
                      name.find('/') == std::string_view::npos &&
                      name.find('\0') == std::string_view::npos;
  if (usable) return std::nullopt;
  return Error{ErrorCode::invalid_option,
               fmt::format("the segment name '{}' must be a file name as in /dev/shm, without a "
                           "slash and of at most {} bytes",
                           name, NAME_MAX)};
}

}  // namespace hyperpod::client
