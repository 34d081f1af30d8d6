// SPDX-License-Identifier: Apache-2.0
// Any bytes as the head of a request: where it ends does not depend on how it arrives, and what is
// parsed out of it lies inside it and is not ambiguous.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "http/request_head.h"

namespace hyperpod::emulator::http {
namespace {

using Status = HeadScanner::Status;

void require(bool holds) {
  if (!holds) std::abort();
}

/// As `whole` said of the same bytes, however small the steps in which they come.
void scan_in_steps(std::string_view input, std::size_t step, Status said, std::size_t length) {
  HeadScanner scanner;
  auto now = Status::incomplete;
  for (std::size_t size = 0; now == Status::incomplete && size < input.size();) {
    size = std::min(input.size(), size + step);
    now = scanner.scan(input.substr(0, size));
  }
  require(now == said);
  if (said == Status::complete) require(scanner.length() == length);
}

bool lies_within(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check(std::string_view input) {
  HeadScanner scanner;
  const auto said = scanner.scan(input);
  for (const std::size_t step : {1, 2, 7}) scan_in_steps(input, step, said, scanner.length());
  if (said != Status::complete) return;

  const auto text = input.substr(0, scanner.length());
  require(text.ends_with("\r\n\r\n") || text == "\r\n");
  const auto head = parse_head(text, Limits{});
  if (!head) return;
  require(!head->method.empty() && lies_within(head->method, text));
  require(!head->target.empty() && lies_within(head->target, text));
  require(!(head->chunked && head->content_length));
  require(!(head->http_1_0 && (head->chunked || head->expects_continue)));
  for (const char c : head->target) require(static_cast<unsigned char>(c) > 0x20 && c != 0x7f);
  for (const char c : text) require(c != '\0');
}

}  // namespace
}  // namespace hyperpod::emulator::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hyperpod::emulator::http::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
