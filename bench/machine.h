// SPDX-License-Identifier: Apache-2.0
// What the machine was and did during a measurement.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

namespace hyperpod::bench {

/// Where figures are taken: cores, kernel, architecture.
nlohmann::json machine_report();

/// Measures how much of the machine others used, from its construction to the call. Ratios stand a
/// busy machine to a degree, tails and absolute bounds do not.
class OtherPrograms {
 public:
  OtherPrograms();
  /// Share (0..1) of all cores' time that neither this process nor its children used. Children
  /// count once they have ended.
  double share() const;

 private:
  std::chrono::duration<double> machine_;
  std::chrono::duration<double> own_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace hyperpod::bench
