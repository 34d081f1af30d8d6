// SPDX-License-Identifier: Apache-2.0
// Writes formatted messages to a log sink.
#pragma once

#include <fmt/format.h>

#include <new>
#include <utility>

#include "hyperpod/base/log.h"

namespace hyperpod::client {

/// Formats the message only if somebody wants it. Lost where there is no memory for it.
template <class... Arguments>
void log(base::LogSink& sink, base::LogLevel level, fmt::format_string<Arguments...> format,
         Arguments&&... arguments) {
  if (!sink.enabled(level)) return;
  try {
    sink.write(level, fmt::format(format, std::forward<Arguments>(arguments)...));
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace hyperpod::client
