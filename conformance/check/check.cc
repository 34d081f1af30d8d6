// SPDX-License-Identifier: Apache-2.0
#include "check/check.h"

namespace hyperpod::conformance::check {

std::chrono::milliseconds Check::span(std::chrono::milliseconds time) const {
  return std::chrono::ceil<std::chrono::milliseconds>(time * time_scale_);
}

void Check::skip(std::string reason) const { throw Skipped{std::move(reason)}; }

void Check::expect(bool holds, std::string expected, std::string seen, Symptom symptom) const {
  if (!holds) throw Violation{std::move(expected), std::move(seen), symptom};
}

void Check::figure(std::string_view name, std::string_view value) {
  const std::lock_guard lock(mutex_);
  figures_.emplace_back(printable(name), printable(value));
}

void Check::plot(Plot plot) {
  plot.title = printable(plot.title);
  for (Plot::Series& series : plot.series) series.name = printable(series.name);
  const std::lock_guard lock(mutex_);
  plots_.push_back(std::move(plot));
}

void Check::forget_figures() {
  const std::lock_guard lock(mutex_);
  figures_.clear();
  plots_.clear();
}

}  // namespace hyperpod::conformance::check
