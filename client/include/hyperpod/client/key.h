// SPDX-License-Identifier: Apache-2.0
// The strings that LMCache uses as keys (docs/protocol.md, KEY-08). A client takes any string;
// these spell and read the ones that interoperate.
//
// Everything here is a value or a pure function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// Keys of the in-process client: `model@world_size@worker_id@chunk_hash_hex@dtype[@tag%value…]`.
struct EngineKey {
  std::string model;  ///< May hold `/`, must not hold `@`.
  std::uint32_t world_size = 1;
  std::uint32_t worker_id = 0;
  std::string chunk_hash;  ///< Hexadecimal digits, as LMCache prints them.
  std::string dtype;       ///< LMCache's word: "bfloat16", "half", "float", …
  std::vector<std::pair<std::string, std::string>> tags;

  std::string to_string() const;
  /// Errors (invalid_argument) name the part that is not as above.
  static Result<EngineKey> parse(std::string_view text);

  friend bool operator==(const EngineKey&, const EngineKey&) = default;
};

/// Keys of older in-process clients: `fmt@model@world_size@worker_id@chunk_hash`.
struct LegacyEngineKey {
  std::string format;
  std::string model;
  std::uint32_t world_size = 1;
  std::uint32_t worker_id = 0;
  std::string chunk_hash;

  std::string to_string() const;
  static Result<LegacyEngineKey> parse(std::string_view text);

  friend bool operator==(const LegacyEngineKey&, const LegacyEngineKey&) = default;
};

/// Keys of the multi-process client: `model@kv_rank_hex8@object_group_hex@chunk_hash_hex[@salt]`.
struct ObjectKey {
  std::string model;
  std::uint32_t kv_rank = 0;
  std::uint32_t object_group = 0;
  std::string chunk_hash;
  std::string salt;  ///< Empty: none. May hold `@`.

  std::string to_string() const;
  static Result<ObjectKey> parse(std::string_view text);

  friend bool operator==(const ObjectKey&, const ObjectKey&) = default;
};

}  // namespace hyperpod::client
