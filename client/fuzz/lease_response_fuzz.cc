// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a lease response: what is accepted keeps its promises.
#include <cstdlib>
#include <string_view>

#include "leases/lease_response.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::client::leases;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto response = parse_lease_response("application/json", body);
  if (!response) return 0;
  if (response->id.empty() || response->fragments.empty()) std::abort();
  std::uint64_t total = 0;
  for (const auto& fragment : response->fragments) {
    if (fragment.length == 0 || fragment.offset + fragment.length < fragment.offset) std::abort();
    total += fragment.length;
    if (total < fragment.length) std::abort();
  }
  if (total != response->size) std::abort();
  const auto elsewhere = parse_lease_response("text/html", body);
  if (elsewhere || elsewhere.error().id != response->id) std::abort();
  return 0;
}
