#include "hyperpod/client/error.h"

namespace hyperpod::client {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_option:
      return "invalid_option";
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::refused:
      return "refused";
    case ErrorCode::unreachable:
      return "unreachable";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::lease_expired:
      return "lease_expired";
    case ErrorCode::segment_missing:
      return "segment_missing";
    case ErrorCode::segment_unreadable:
      return "segment_unreadable";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::malformed_answer:
      return "malformed_answer";
    case ErrorCode::closed:
      return "closed";
  }
  return "unknown";
}

}  // namespace hyperpod::client
