// SPDX-License-Identifier: Apache-2.0
// The commands of docs/drivers.md, read from their lines.
//
// Pure functions. Errors are sentences for the response's `error`.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

namespace hyperpod::driver {

using Json = nlohmann::json;

struct Hello {};

struct Configure {
  std::string url;
  std::optional<std::string> bucket;  ///< None: the client's own default.
  std::optional<std::string> segment;
  Json parameters;  ///< Those of parameter_names() that were given.
};

struct Put {
  std::string key;
  std::uint64_t size = 0;
  std::uint64_t seed = 0;
};

struct Get {
  std::string key;
  std::uint64_t size = 0;
};

struct Exists {
  std::string key;
};

struct BatchPut {
  std::vector<Put> items;
};

struct BatchGet {
  std::vector<Get> items;
};

struct BatchContains {
  std::vector<std::string> keys;
};

struct Concurrent {
  std::vector<std::variant<Put, Get, Exists>> operations;
};

struct Stats {};
struct Close {};
struct Raise {};

/// A get in a child process that has inherited the client.
struct Fork {
  Get get;
};

/// The operation is none that this driver knows.
struct Unsupported {};

using Command = std::variant<Hello, Configure, Put, Get, Exists, BatchPut, BatchGet, BatchContains,
                             Concurrent, Stats, Close, Fork, Raise, Unsupported>;

struct Request {
  Json id;  ///< Null if the line tells none.
  tl::expected<Command, std::string> command;
};

Request parse_request(std::string_view line);

/// The `op` of each command, and the parameters of `configure` beside url, bucket and segment.
const std::vector<std::string>& operation_names();
const std::vector<std::string>& parameter_names();

}  // namespace hyperpod::driver
