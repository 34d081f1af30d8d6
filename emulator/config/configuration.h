// SPDX-License-Identifier: Apache-2.0
// What the program hyperpod-emulator runs with, and where each part of it came from.
//
// Not thread-safe; used before any thread starts.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/log.h"
#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::config {

enum class ClockKind { real, manual };

struct Configuration {
  Configuration() { options.admin = "127.0.0.1:9201"; }

  Options options;
  LogSettings log;
  std::string ready_file;  ///< Empty: none is written.
  std::string scenario;    ///< File of faults; empty: none.
  ClockKind clock = ClockKind::real;
  std::vector<std::string> warnings;  ///< To be logged once there is a logger.
};

struct Setting;

/// Collects settings from the file and the command line, later ones over earlier ones, and checks
/// the whole. It knows who set what, so that an error names the place to be edited.
class Draft {
 public:
  /// Sets `setting` from `text`. `origin` is how an error begins: "FILE:LINE: KEY" or "--option".
  Result<void> set(const Setting& setting, std::string_view text, std::string origin);

  /// The configuration, if its parts go together.
  Result<Configuration> finish() &&;

 private:
  Configuration configuration_;
  std::map<const Setting*, std::string> origins_;
};

}  // namespace hyperpod::emulator::config
