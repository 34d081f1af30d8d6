// SPDX-License-Identifier: Apache-2.0
// Any method and target ("PUT /v1/kv/b/k"): it leads nowhere, or to an operation whose names, when
// encoded again, lead to the same.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/request_target.h"
#include "text/percent.h"

namespace hyperpod::emulator::http {
namespace {

using namespace std::chrono_literals;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string encode(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    encoded += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return encoded;
}

std::string target_of(const Route& route) {
  switch (route.operation) {
    case Operation::put:
      return "/v1/kv/" + encode(route.bucket) + "/" + encode(route.key);
    case Operation::acquire:
      return "/v1/kv/" + encode(route.bucket) + "/" + encode(route.key) + "/leases";
    case Operation::release:
      return "/v1/leases/" + encode(route.lease_id) + "/release";
    case Operation::get_namespace:
    case Operation::delete_namespace:
      return "/v1/cp/namespaces/" + encode(route.bucket);
    case Operation::create_namespace:
      return "/v1/cp/namespaces/" + encode(route.bucket) +
             "?num_ranks=" + std::to_string(route.created.num_ranks) +
             "&steps_retained=" + std::to_string(route.created.steps_retained);
    case Operation::put_shard:
    case Operation::get_shard:
    case Operation::delete_shard:
      return "/v1/cp/checkpoints/" + encode(route.bucket) + "/" + route.key;
    case Operation::latest_steps:
      return "/v1/cp/checkpoints/" + encode(route.bucket) +
             "/latest?limit=" + std::to_string(route.limit);
    case Operation::reset_cluster:
      return "/v1/cp/cluster/reset";
  }
  std::abort();
}

void check_route(const Route& found, std::string_view method, const Behaviour& behaviour) {
  require(found.hold >= 0ms && found.hold <= behaviour.max_hold);
  require(found.ttl >= 0ns && found.ttl <= behaviour.max_ttl);
  const bool has_bucket =
      found.operation != Operation::release && found.operation != Operation::reset_cluster;
  require(found.bucket.empty() != has_bucket);
  if (has_bucket && !is_checkpoint(found.operation)) require(!found.key.empty());
  Route again;
  require(route(method, target_of(found), behaviour, again).has_value());
  require(again.operation == found.operation && again.bucket == found.bucket &&
          again.key == found.key && again.lease_id == found.lease_id);
  require(again.rank == found.rank && again.step == found.step && again.limit == found.limit);
}

void check(std::string_view line) {
  const auto decoded = text::percent_decode(line);
  if (decoded) require(text::percent_decode(encode(*decoded)) == decoded);

  const auto space = std::min(line.find(' '), line.size());
  const auto method = line.substr(0, space);
  const auto target = line.substr(std::min(space + 1, line.size()));
  const Behaviour behaviour;
  Route found;
  if (const auto routed = route(method, target, behaviour, found)) {
    check_route(found, method, behaviour);
  } else {
    require(!routed.error().message.empty());
  }
}

}  // namespace
}  // namespace hyperpod::emulator::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hyperpod::emulator::http::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
