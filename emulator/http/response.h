// SPDX-License-Identifier: Apache-2.0
// Responses of the data port, each built as one string and sent at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/store.h"
#include "core/engine.h"
#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator::http {

struct Response {
  int status = 200;
  std::string body;
  std::string_view content_type = "application/json";    ///< Said where there is a body.
  std::optional<std::chrono::seconds> retry_after = {};  ///< Faults alone ask for it.
  /// Given: its bytes are the body, sent from where they lie, and its Shard-Meta is told.
  std::optional<checkpoint::Shard> shard = {};
};

Response stored();
Response released();
/// `memory` is used for the body; what it holds is lost.
Response granted(const core::LeaseGrant& grant, std::string memory = {});
/// A grant with one thing wrong about it. `capacity` is the segment's size in bytes.
Response defective_grant(const core::LeaseGrant& grant, GrantDefect defect, std::uint64_t capacity);

/// `{"error": code, "message": message}`. Neither may need JSON escapes.
Response refusal(int status, std::string_view code, std::string_view message);

/// "Not Found"; empty for a status without a name.
std::string_view reason(int status);

struct WireForm {
  bool keep_alive = true;
  bool http_1_0 = false;  ///< The request's version, which wants keep-alive said.
  bool with_body = true;  ///< False for a response to HEAD.
};

/// Appends the response as bytes to be sent to `out`; of a shard, what stands before its bytes.
void append_wire_form(const Response& response, WireForm form, std::string& out);

}  // namespace hyperpod::emulator::http
