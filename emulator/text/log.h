// SPDX-License-Identifier: Apache-2.0
// Log messages with values in them.
//
// Any thread.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "hyperpod/base/log.h"

namespace hyperpod::emulator::text {

/// Formats and writes a message, if there is a sink and it wants `level`.
template <class... Values>
void log(const std::shared_ptr<base::LogSink>& sink, base::LogLevel level,
         fmt::format_string<Values...> format, Values&&... values) {
  if (!sink || !sink->enabled(level)) return;
  sink->write(level, fmt::format(format, std::forward<Values>(values)...));
}

}  // namespace hyperpod::emulator::text
