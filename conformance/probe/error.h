// The error type of the suite's own parts. Errors are values; what a daemon does wrong is no error
// here but the result of a check.
#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

namespace hyperpod::conformance {

enum class ErrorCode {
  invalid,      ///< An argument cannot be used as given.
  unreachable,  ///< No connection could be made.
  closed,       ///< The peer closed the connection, or reset it.
  timed_out,    ///< The deadline passed first.
  malformed,    ///< What arrived is not HTTP.
  tls,          ///< The TLS handshake or a TLS record failed.
  missing,      ///< There is no segment under this name.
  forbidden,    ///< The segment may not be read by this user.
  system,       ///< This machine refused something else.
};

/// What went wrong. `message` is one sentence that names the offending thing and the way out.
struct Error {
  ErrorCode code;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

using Duration = std::chrono::nanoseconds;
using Moment = std::chrono::time_point<std::chrono::steady_clock, Duration>;

inline Moment now() { return std::chrono::steady_clock::now(); }

/// For messages: milliseconds with one decimal, as "1234.5 ms".
std::string in_ms(Duration duration);

}  // namespace hyperpod::conformance
