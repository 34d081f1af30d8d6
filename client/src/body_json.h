// SPDX-License-Identifier: Apache-2.0
// JSON that stands in a response's body, but for a lease's (leases/lease_response.h). Pure
// functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace hyperpod::client {

/// Discarded where it is not JSON, or is longer or deeper than any daemon's has a reason to be.
nlohmann::json parse_body(std::string_view body);

/// What the body of a refusal tells a person, "; it says: …" to stand behind the status: its member
/// message, if it is JSON that has one, in one line of at most 200 bytes. Empty where there is
/// none, or it is not printable.
std::string told_in(std::string_view body);

}  // namespace hyperpod::client
