// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace hyperpod::base {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_option:
      return "invalid_option";
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::address_unusable:
      return "address_unusable";
    case ErrorCode::unreachable:
      return "unreachable";
    case ErrorCode::closed:
      return "closed";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::forked:
      return "forked";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::refused:
      return "refused";
    case ErrorCode::malformed_response:
      return "malformed_response";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::lease_expired:
      return "lease_expired";
    case ErrorCode::tls_unusable:
      return "tls_unusable";
    case ErrorCode::segment_missing:
      return "segment_missing";
    case ErrorCode::segment_in_use:
      return "segment_in_use";
    case ErrorCode::segment_unreadable:
      return "segment_unreadable";
    case ErrorCode::segment_unusable:
      return "segment_unusable";
    case ErrorCode::out_of_resources:
      return "out_of_resources";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::failed:
      return "failed";
  }
  return "unknown";
}

Error system_error(const std::string& doing, int error_number, ErrorCode otherwise) {
  const bool exhausted = error_number == EMFILE || error_number == ENFILE ||
                         error_number == ENOMEM || error_number == EAGAIN ||
                         error_number == ENOBUFS;
  std::string message = doing + ": " + std::generic_category().message(error_number);
  if (error_number == EMFILE) message += "; raise the process's limit (ulimit -n)";
  return {.code = exhausted ? ErrorCode::out_of_resources : otherwise,
          .message = std::move(message)};
}

}  // namespace hyperpod::base
