// SPDX-License-Identifier: Apache-2.0
// Keys that nobody else has.
#pragma once

#include <string>
#include <string_view>

namespace hyperpod::client::cli::doctor {

/// "hyperpod-kv-doctor/LABEL-" and 16 random hexadecimal digits.
std::string unique_key(std::string_view label);

}  // namespace hyperpod::client::cli::doctor
