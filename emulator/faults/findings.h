// SPDX-License-Identifier: Apache-2.0
// Where the checks of a fault report what is wrong with it.
//
// Not thread-safe.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "faults/effects.h"
#include "hyperpod/emulator/faults.h"
#include "text/units.h"

namespace hyperpod::emulator::faults {

using Problem = std::optional<FieldProblem>;

/// The least of durations that may be zero, and of those that may not.
inline constexpr std::chrono::milliseconds any_time{0};
inline constexpr std::chrono::milliseconds some_time{1};

/// Keeps the first problem.
class Findings {
 public:
  explicit Findings(std::string prefix) : prefix_(std::move(prefix)) {}

  void require(bool holds, std::string_view field, std::string_view what) {
    if (holds || problem_) return;
    problem_ = FieldProblem{fmt::format("{}{}", prefix_, field), std::string(what)};
  }

  void duration(std::chrono::milliseconds value, std::string_view field,
                std::chrono::milliseconds least) {
    if (value >= least && value <= longest_fault) return;
    const std::string shown = value < std::chrono::milliseconds::zero()
                                  ? fmt::format("{}ms", value.count())
                                  : text::format_duration(value);
    require(false, field,
            fmt::format("must be from {} to {}, not {}", text::format_duration(least),
                        text::format_duration(longest_fault), shown));
  }

  Problem problem() && { return std::move(problem_); }

 private:
  std::string prefix_;
  Problem problem_;
};

}  // namespace hyperpod::emulator::faults
