// SPDX-License-Identifier: Apache-2.0
// The one error type of the benchmarks.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace hyperpod::bench {

enum class ErrorCode {
  missing,  ///< A comparator is not installed: its row is left out.
  failed,   ///< Something ran and did not do what a measurement needs.
};

/// Why nothing was measured. `message` is one sentence that names the offending thing.
struct Error {
  ErrorCode code;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(std::string message) {
  return tl::unexpected(Error{ErrorCode::failed, std::move(message)});
}

/// The same with the text of errno behind it.
tl::unexpected<Error> system_failure(const std::string& message);

}  // namespace hyperpod::bench
