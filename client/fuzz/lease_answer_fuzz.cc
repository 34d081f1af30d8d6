// Any bytes as the body of a lease answer: what is accepted keeps its promises.
#include <cstdlib>
#include <string_view>

#include "lease_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::client;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto answer = parse_lease_answer("application/json", body);
  if (!answer) return 0;
  if (answer->id.empty() || answer->fragments.empty()) std::abort();
  std::uint64_t total = 0;
  for (const FragmentRange& fragment : answer->fragments) {
    if (fragment.length == 0 || fragment.offset + fragment.length < fragment.offset) std::abort();
    total += fragment.length;
    if (total < fragment.length) std::abort();
  }
  if (total != answer->size) std::abort();
  const auto elsewhere = parse_lease_answer("text/html", body);
  if (elsewhere || elsewhere.error().id != answer->id) std::abort();
  return 0;
}
