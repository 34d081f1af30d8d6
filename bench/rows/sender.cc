// SPDX-License-Identifier: Apache-2.0
#include "rows/sender.h"

#include <string>

#include "load/response.h"
#include "load/workloads.h"

namespace hyperpod::bench {

Result<bool> http_accepted(std::string_view received) {
  const auto parsed = parse_response(received);
  if (parsed.result == ParseResult::incomplete) return false;
  if (parsed.response.status == 200) return true;
  return failure("a body was answered with " + std::to_string(parsed.response.status) + ": " +
                 std::string(parsed.response.body));
}

Sender::Sender(const Server& server, unsigned connections, std::string_view body,
               decltype(Upload::head) head, decltype(Upload::accepted) accepted)
    : upload_{.port = server.port,
              .connections = connections,
              .first = 0,
              .count = 0,
              .body = body,
              .head = std::move(head),
              .accepted = std::move(accepted)} {}

Result<double> Sender::send(std::uint64_t bodies) {
  upload_.first += upload_.count;
  upload_.count = bodies;
  return upload(upload_);
}

Sender http_sender(const Server& server, unsigned connections, std::string_view body) {
  const auto head = [size = body.size()](std::uint64_t number) { return put_head(number, size); };
  return {server, connections, body, head, http_accepted};
}

}  // namespace hyperpod::bench
