// SPDX-License-Identifier: Apache-2.0
// What a request asks for, read from its method and target.
//
// The target is split at its slashes first and each part is then percent-decoded, once: an encoded
// slash is part of a key, and a plus is a plus.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

enum class Operation { put, acquire, release };

struct Route {
  Operation operation{};
  std::string bucket;    ///< Decoded; put and acquire.
  std::string key;       ///< Decoded; put and acquire.
  std::string lease_id;  ///< Decoded; release.
  std::chrono::milliseconds hold{};
  Duration ttl{};
};

enum class RouteError { not_found, malformed };

struct RouteRefusal {
  RouteError error;
  std::string_view message;  ///< One sentence, of static storage.
};

/// Reads timeout_ms and ttl_s with `behaviour`'s defaults and upper limits.
tl::expected<Route, RouteRefusal> route(std::string_view method, std::string_view target,
                                        const Behaviour& behaviour);

}  // namespace hyperpod::emulator::http
