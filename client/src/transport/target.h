// SPDX-License-Identifier: Apache-2.0
// Request targets as the protocol wants them, byte for byte what LMCache's clients send.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "hyperpod/client/clock.h"

namespace hyperpod::client::transport {

/// Percent-encodes one path segment as aiohttp does: `@ : ~ ! $ & ' ( ) * , ; =` and unreserved
/// characters stay bare, all else becomes upper-case hex (C-WIRE-02).
std::string encode_segment(std::string_view text);

/// `/v1/kv/{bucket}/{key}`
std::string object_target(std::string_view bucket, std::string_view key);

/// `/v1/kv/{bucket}/{key}/leases?timeout_ms=T&ttl_s=S`; S is a decimal number with a point.
std::string lease_target(std::string_view bucket, std::string_view key,
                         std::chrono::milliseconds hold, Duration ttl);

/// `/v1/leases/{id}/release`
std::string release_target(std::string_view lease_id);

}  // namespace hyperpod::client::transport
