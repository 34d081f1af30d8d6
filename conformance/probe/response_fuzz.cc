// SPDX-License-Identifier: Apache-2.0
// Fuzzes the readers of what daemons and proxies answer, of messages and of JSON: no bytes may
// upset the judge.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "probe/json.h"
#include "probe/response.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::conformance::probe;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const bool at_end : {false, true}) {
    const auto parsed = parse_response(bytes, at_end);
    if (!parsed || !*parsed) continue;
    const Response& response = (*parsed)->response;
    if ((*parsed)->consumed > size || response.status < 0 || response.status > 999) std::abort();
    (void)response.media_type();
    (void)response.says_close();
    (void)response.header("content-length");
    // What is a response stays one, whatever comes behind it.
    if (!at_end && !parse_response(std::string(bytes) + "HTTP/1.1 2", false)) std::abort();
  }
  if (const auto json = parse_json(bytes)) {
    if (json->kind == JsonValue::Kind::string) (void)json->string();
    (void)json->unsigned_integer();
    (void)json->find("id");
  }
  return 0;
}
