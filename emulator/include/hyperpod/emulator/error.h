// The one error type of the emulator's public faces.
//
// Errors are values: no exception crosses a public declaration of this library.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace hyperpod::emulator {

enum class ErrorCode {
  invalid_option,    ///< An option, a configuration key or a file cannot be used as given.
  address_unusable,  ///< The listen address cannot be resolved or bound.
  segment_in_use,    ///< The segment's name belongs to another live process, or to nobody we know.
  segment_unusable,  ///< The segment cannot be created, reserved or mapped.
  tls_unusable,      ///< The certificate or key cannot be read, made or used.
  out_of_resources,  ///< The process has no descriptor, thread or memory left.
};

/// What went wrong. `message` is one sentence that names the offending thing and the way out.
struct Error {
  ErrorCode code;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

}  // namespace hyperpod::emulator
