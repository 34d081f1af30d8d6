// SPDX-License-Identifier: Apache-2.0
// Any bytes as LMCache's configuration file: what is accepted is within its ranges.
#include <cstdlib>
#include <string_view>

#include "address.h"
#include "hyperpod/client/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hyperpod::client;
  auto loaded = parse_options({reinterpret_cast<const char*>(data), size}, "input");
  if (!loaded) {
    if (loaded.error().message.empty()) std::abort();
    return 0;
  }
  ClientOptions& options = loaded->options;
  const auto addresses =
      parse_addresses(options, [](const std::string&) { return std::string("10.0.0.1"); });
  if (addresses && addresses->empty()) std::abort();
  if (!normalise(options)) return 0;
  if (options.timeout < std::chrono::milliseconds{100} || options.put_stream_chunk_bytes < 1024 ||
      options.max_concurrent_requests == 0 || options.lease_ttl <= Duration::zero()) {
    std::abort();
  }
  return 0;
}
