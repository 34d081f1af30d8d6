// SPDX-License-Identifier: Apache-2.0
// A row of the table: what is measured, the bound it is held to, and how.
//
// To add one, write a function that returns a Row and name it in main.cc.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "error.h"

namespace hyperpod::bench {

struct Settings {
  /// How long each server is measured in each round.
  std::chrono::milliseconds slice{1000};
  /// How often the servers compared take turns.
  unsigned rounds = 7;
  /// The nginx program; empty searches for it.
  std::string nginx;
};

/// What a row found.
struct Finding {
  bool holds;            ///< The bound is kept.
  std::string measured;  ///< The emulator's figure, with its unit.
  std::string against;   ///< The comparator's name and figure; empty if there is none.
  std::string result;    ///< What is held against the bound.
  nlohmann::json details = nlohmann::json::object();  ///< Further figures, for the JSON report.
};

struct Row {
  std::string id;     ///< For --only.
  std::string what;   ///< What is measured.
  std::string bound;  ///< What is demanded.
  std::function<Result<Finding>(const Settings&)> measure;
};

}  // namespace hyperpod::bench
