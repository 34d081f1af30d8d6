// Answers of the data port, each built as one string and sent at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/engine.h"
#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator {

struct Answer {
  int status = 200;
  std::string body;
  std::string_view content_type = "application/json";    ///< Said where there is a body.
  std::optional<std::chrono::seconds> retry_after = {};  ///< Faults alone ask for it.
};

Answer stored();
Answer released();
Answer granted(const LeaseGrant& grant);
/// A grant with one thing wrong about it. `capacity` is the segment's size in bytes.
Answer granted_wrongly(const LeaseGrant& grant, GrantDefect defect, std::uint64_t capacity);

/// `{"error": code, "message": message}`. Neither may need JSON escapes.
Answer refusal(int status, std::string_view code, std::string_view message);

struct WireForm {
  bool keep_alive = true;
  bool http_1_0 = false;  ///< The request's version, which wants keep-alive said.
  bool with_body = true;  ///< False for an answer to HEAD.
};

/// Appends the answer as bytes to be sent to `out`.
void append_wire_form(const Answer& answer, WireForm form, std::string& out);

}  // namespace hyperpod::emulator
