// SPDX-License-Identifier: Apache-2.0
// The one error type of the public faces of emulator, client and suite.
//
// Errors are values: no exception crosses a public declaration of this project. A miss is not an
// error; client.h tells how each call reports one.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace hyperpod::base {

/// What kind of thing went wrong. The names are part of the public interface: programs print them
/// and scripts compare them.
enum class ErrorCode {
  invalid_option,      ///< A configuration value, a file or a variable cannot be used as given.
  invalid_argument,    ///< An argument of this call cannot be used as given.
  address_unusable,    ///< A listen address cannot be resolved or bound.
  unreachable,         ///< No connection could be made, or it broke before a response.
  closed,              ///< The client, or the peer, has closed what the call needs.
  cancelled,           ///< The caller cancelled the call.
  forked,              ///< The object was made before fork() and is used in the child.
  timed_out,           ///< The call's deadline has passed.
  refused,             ///< The peer responded, and said no; Error::status tells its status.
  malformed_response,  ///< What the peer sent is not HTTP, or cannot be used.
  too_large,           ///< The object exceeds a limit, the buffer, or the peer's capacity.
  lease_expired,       ///< The bytes were not read in time. To be treated as a miss.
  tls_unusable,        ///< A certificate or key cannot be used, or a TLS handshake failed.
  segment_missing,     ///< There is no shared-memory segment of that name, or it is still empty.
  segment_in_use,      ///< The segment's name belongs to another live process, or to a stranger.
  segment_unreadable,  ///< The segment may not be opened or mapped; see Error::segment_owner.
  segment_unusable,    ///< The segment cannot be created, reserved or mapped.
  out_of_resources,    ///< No descriptor, thread or memory is to be had.
  not_found,           ///< A program or file that is needed is not there.
  failed,              ///< This machine refused something else.
};

/// The name of a code as documented, e.g. "segment_missing".
const char* to_string(ErrorCode code);

/// Whose a shared-memory segment is that this process may not read.
struct SegmentOwner {
  uid_t uid;
  mode_t mode;  ///< Permission bits only, e.g. 0600.

  friend bool operator==(const SegmentOwner&, const SegmentOwner&) = default;
};

/// What went wrong. `message` is one sentence that names the offending thing and the way out.
struct Error {
  ErrorCode code;
  std::string message;
  int status = 0;  ///< HTTP status; 0 unless the peer responded.
  /// With segment_unreadable, where it can be told.
  std::optional<SegmentOwner> segment_owner = {};
};

template <class T>
using Result = tl::expected<T, Error>;

/// For a Result that is an error.
inline tl::unexpected<Error> failed(ErrorCode code, std::string message) {
  return tl::unexpected(Error{code, std::move(message)});
}

/// `doing` and the text of `error_number` (an errno value), e.g. "cannot open x: No such file".
/// The code is out_of_resources where the system has run out of something, else `otherwise`. Where
/// the process may have no more descriptors, the way out follows.
Error system_error(const std::string& doing, int error_number,
                   ErrorCode otherwise = ErrorCode::failed);

}  // namespace hyperpod::base
