// The one error type of the client's public faces.
//
// Errors are values: no exception crosses a public declaration of this library. A miss is not an
// error; see client.h for how each call tells it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace hyperpod::client {

enum class ErrorCode {
  invalid_option,      ///< A configuration value, file or variable cannot be used as given.
  invalid_argument,    ///< A key or a buffer of this call cannot be used as given.
  refused,             ///< The daemon answered, and said no; Error::status tells its status.
  unreachable,         ///< No connection, or it broke before an answer; or the circuit is open.
  timed_out,           ///< The call's deadline passed: in the queue, on the wire or at the daemon.
  lease_expired,       ///< The bytes were not read within the lease's TTL. To be treated as a miss.
  segment_missing,     ///< No shared-memory segment of that name, or it is still empty.
  segment_unreadable,  ///< The segment may not be opened or mapped; see Error::segment_owner.
  too_large,         ///< The object exceeds max_lease_bytes, the buffer, or the daemon's capacity.
  malformed_answer,  ///< What the daemon sent is no HTTP answer, or no lease that can be used.
  closed,            ///< The client has been closed.
};

/// The name of a code as documented, e.g. "segment_missing".
const char* to_string(ErrorCode code);

/// Whose a segment is that this process may not read.
struct SegmentOwner {
  uid_t uid;
  mode_t mode;  ///< Permission bits only, e.g. 0600.

  friend bool operator==(const SegmentOwner&, const SegmentOwner&) = default;
};

/// What went wrong. `message` is one sentence that names the offending thing and the way out.
struct Error {
  ErrorCode code;
  std::string message;
  int status = 0;  ///< HTTP status; 0 unless the daemon answered.
  std::optional<SegmentOwner> segment_owner =
      {};  ///< With segment_unreadable, where it can be told.
};

template <class T>
using Result = tl::expected<T, Error>;

}  // namespace hyperpod::client
