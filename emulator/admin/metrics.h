// SPDX-License-Identifier: Apache-2.0
// The emulator's metrics, in Prometheus' text format.
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

#include "admin/control.h"

namespace hyperpod::emulator::admin {

constexpr std::string_view metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric begins with hyperpod_emulator_. Counters begin anew when the emulator's are reset.
std::string metrics_text(Control& control);

}  // namespace hyperpod::emulator::admin
