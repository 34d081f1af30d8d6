// SPDX-License-Identifier: Apache-2.0
// What a request asks for, read from its method and target.
//
// The target is split at its slashes first and each part is then percent-decoded, once: an encoded
// slash is part of a key, and a plus is a plus.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "checkpoint/store.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

enum class Operation {
  put,
  acquire,
  release,
  // The checkpoint API (protocol, "Checkpoints").
  get_namespace,
  create_namespace,
  delete_namespace,
  put_shard,
  get_shard,
  delete_shard,
  latest_steps,
  reset_cluster,
};

/// Whether an operation is one of the checkpoint API.
constexpr bool is_checkpoint(Operation operation) { return operation >= Operation::get_namespace; }

/// What of a Route is not text.
struct RouteNumbers {
  Operation operation{};
  std::chrono::milliseconds hold{};
  Duration ttl{};
  checkpoint::NamespaceOptions created{};  ///< create_namespace.
  std::uint64_t rank = 0;                  ///< Shards.
  std::uint64_t step = 0;                  ///< Shards.
  std::uint64_t limit = 5;                 ///< latest_steps.
};

struct Route : RouteNumbers {
  std::string bucket;    ///< Decoded; put and acquire. With checkpoints the namespace.
  std::string key;       ///< Decoded; put and acquire. With shards "RANK/STEP" as it came.
  std::string lease_id;  ///< Decoded; release.
};

enum class RouteError {
  not_found,
  malformed,
  shard_address,  ///< A rank or a step that is not a number.
};

struct RouteRefusal {
  RouteError error;
  std::string_view message;  ///< One sentence, of static storage.
  /// Whether the path was understood and only its numbers were not.
  bool understood = false;
};

/// Puts into `result` what is asked for, as far as it is understood; its strings keep their memory
/// from call to call. Reads timeout_ms and ttl_s with `behaviour`'s defaults and upper limits.
tl::expected<void, RouteRefusal> route(std::string_view method, std::string_view target,
                                       const Behaviour& behaviour, Route& result);

}  // namespace hyperpod::emulator::http
