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

enum class ClockKind { real, manual, adjustable };

struct Configuration {
  Configuration() { options.admin = "127.0.0.1:9201"; }

  Options options;
  LogSettings log;
  std::string ready_file;  ///< Empty: none is written.
  std::string scenario;    ///< File of faults; empty: none.
  /// File whose first line is Options::admin_token; empty: none.
  std::string admin_token_file;
  ClockKind clock = ClockKind::real;
  bool exit_with_parent = false;
  std::vector<std::string> warnings;  ///< To be logged once there is a log.
};

struct Setting;

/// Collects settings from the file, the environment and the command line, later ones over earlier
/// ones, and checks the whole. It knows who set what, so that an error names the place to be
/// edited.
class Draft {
 public:
  /// Sets `setting` from `text`. `origin` is how an error begins: "FILE:LINE: KEY", the name of a
  /// variable, or "--option".
  Result<void> set(const Setting& setting, std::string_view text, std::string origin);
  /// Something to be logged that is not an error.
  void warn(std::string warning);

  /// The configuration, if its parts go together.
  Result<Configuration> finish() &&;

 private:
  Configuration configuration_;
  std::map<const Setting*, std::string> origins_;
};

}  // namespace hyperpod::emulator::config
