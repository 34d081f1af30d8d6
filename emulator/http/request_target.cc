// SPDX-License-Identifier: Apache-2.0
#include "http/request_target.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

#include "http/request_head.h"
#include "text/percent.h"

namespace hyperpod::emulator::http {
namespace {

using Routed = tl::expected<void, RouteRefusal>;

tl::unexpected<RouteRefusal> refuse(RouteError error, std::string_view message) {
  return tl::make_unexpected(RouteRefusal{error, message});
}

/// For a path that was understood.
tl::unexpected<RouteRefusal> refuse_number(RouteError error, std::string_view message) {
  return tl::make_unexpected(RouteRefusal{error, message, true});
}

tl::unexpected<RouteRefusal> not_found() {
  return refuse(RouteError::not_found, "The daemon serves nothing under this method and path.");
}

tl::unexpected<RouteRefusal> decoding_failed() {
  return refuse(RouteError::malformed,
                "A part of the path is not percent-encoded UTF-8; encode it as RFC 3986 says.");
}

/// Path and query of a target in origin form or absolute form.
struct Target {
  std::string_view path;
  std::string_view query;
};

Target split_target(std::string_view target) {
  target = origin_form(target);
  const auto mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

/// The raw parts of "/a/b/c". Longer paths than any that is served come back cut short by one part
/// too many, which no route matches.
struct Parts {
  static constexpr std::size_t max = 7;
  std::array<std::string_view, max> at;
  std::size_t count = 0;
};

Parts split_path(std::string_view path) {
  Parts parts;
  while (path.starts_with('/') && parts.count < Parts::max) {
    path.remove_prefix(1);
    const auto end = std::min(path.find('/'), path.size());
    parts.at[parts.count++] = path.substr(0, end);
    path.remove_prefix(end);
  }
  return parts;
}

// A number too large to be represented is as good as the largest that is: limits cut it anyway.

std::optional<std::chrono::milliseconds> parse_milliseconds(std::string_view text) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  std::uint64_t value = most;  // unsigned: no sign is accepted
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::milliseconds(std::min(value, most));
}

/// Whether a decimal that is too large or too small for a double is too small.
bool is_tiny(std::string_view text) {
  const auto mantissa = text.substr(0, text.find_first_of("eE"));
  std::int64_t exponent = 0;
  if (mantissa.size() < text.size()) {
    auto digits = text.substr(mantissa.size() + 1);
    const bool negative = digits.starts_with('-');
    if (negative || digits.starts_with('+')) digits.remove_prefix(1);
    constexpr std::int64_t beyond_all = 1'000'000'000;  // longer than any target
    std::int64_t value = 0;
    const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), value).ec;
    if (error != std::errc{}) value = beyond_all;
    exponent = negative ? -std::min(value, beyond_all) : std::min(value, beyond_all);
  }
  const auto point = static_cast<std::int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  const auto first = static_cast<std::int64_t>(mantissa.find_first_of("123456789"));
  return point - first + exponent < 0;
}

/// A decimal number as Python writes a float: "30", "30.0", "1e-05", "1e+16".
std::optional<double> parse_seconds(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    value = is_tiny(text) ? 0 : std::numeric_limits<double>::max();
  }
  if (!std::isfinite(value) || text.starts_with('-')) return std::nullopt;
  return value;
}

/// Calls `visit` with the raw name and value of each parameter, in order, until it returns false.
template <class Visit>
void for_each_parameter(std::string_view query, Visit visit) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    query = end == query.npos ? std::string_view{} : query.substr(end + 1);
    const auto equals = pair.find('=');
    const auto value = equals == pair.npos ? std::string_view{} : pair.substr(equals + 1);
    if (!visit(pair.substr(0, equals), value)) return;
  }
}

/// nullptr, or what is wrong with the query.
const char* read_query(std::string_view query, const Behaviour& behaviour, Route& route) {
  std::optional<std::chrono::milliseconds> hold;
  std::optional<double> ttl;
  const char* wrong = nullptr;
  const auto read = [&](std::string_view name, std::string_view value) {
    if (name == "timeout_ms") {
      if (hold || !(hold = parse_milliseconds(value))) {
        wrong = "timeout_ms must be given once, as a whole number of milliseconds of at least 0.";
      }
    } else if (name == "ttl_s") {
      if (ttl || !(ttl = parse_seconds(value))) {
        wrong = "ttl_s must be given once, as a decimal number of seconds of at least 0.";
      }
    }
    return wrong == nullptr;
  };
  const bool plain = text::is_plain(query);
  for_each_parameter(query, [&](std::string_view raw_name, std::string_view raw_value) {
    if (plain) return read(raw_name, raw_value);
    const auto name = text::percent_decode(raw_name);
    const auto value = text::percent_decode(raw_value);
    if (name && value) return read(*name, *value);
    wrong = "The query is not percent-encoded UTF-8; encode it as RFC 3986 says.";
    return false;
  });
  if (wrong != nullptr) return wrong;
  route.hold = std::min(hold.value_or(behaviour.default_hold), behaviour.max_hold);
  route.ttl = behaviour.default_ttl;
  if (ttl) {
    const std::chrono::duration<double> longest = behaviour.max_ttl;
    route.ttl = std::chrono::duration_cast<Duration>(
        std::min(std::chrono::duration<double>(*ttl), longest));
  }
  return nullptr;
}

// All of `text`, in digits alone.
std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A parameter of the query; nullopt where it is not there, and empty where its value is not
// percent-encoded UTF-8. Of several the last counts.
std::optional<std::string> parameter(std::string_view query, std::string_view name) {
  std::optional<std::string> found;
  for_each_parameter(query, [&](std::string_view raw_name, std::string_view raw_value) {
    if (text::percent_decode(raw_name) == name)
      found = text::percent_decode(raw_value).value_or("");
    return true;
  });
  return found;
}

Routed namespace_route(std::string_view method, std::string_view query, Route& result) {
  if (method == "GET") {
    result.operation = Operation::get_namespace;
  } else if (method == "DELETE") {
    result.operation = Operation::delete_namespace;
  } else if (method == "POST") {
    result.operation = Operation::create_namespace;
    const auto ranks = parse_count(parameter(query, "num_ranks").value_or(""));
    const auto steps = parse_count(parameter(query, "steps_retained").value_or(""));
    if (!ranks || !steps || *ranks == 0 || *steps == 0) {
      return refuse_number(
          RouteError::malformed,
          "A namespace needs num_ranks and steps_retained, whole numbers of at least 1.");
    }
    result.created = {.num_ranks = *ranks, .steps_retained = *steps};
  } else {
    return not_found();
  }
  return {};
}

Routed shard_route(std::string_view method, std::string_view raw_rank, std::string_view raw_step,
                   Route& result) {
  if (method == "POST") {
    result.operation = Operation::put_shard;
  } else if (method == "GET") {
    result.operation = Operation::get_shard;
  } else if (method == "DELETE") {
    result.operation = Operation::delete_shard;
  } else {
    return not_found();
  }
  const std::string rank = text::percent_decode(raw_rank).value_or("");
  const std::string step = text::percent_decode(raw_step).value_or("");
  result.key.append(rank).append("/").append(step);
  const auto rank_number = parse_count(rank);
  const auto step_number = parse_count(step);
  if (!rank_number || !step_number) {
    return refuse_number(RouteError::shard_address,
                         "A rank and a step are whole numbers of at least 0 that fit 64 bits.");
  }
  result.rank = *rank_number;
  result.step = *step_number;
  return {};
}

Routed checkpoint_route(std::string_view method, const Parts& parts, std::string_view query,
                        Route& result) {
  const auto& at = parts.at;
  if (at[2] == "cluster") {
    if (method != "POST" || parts.count != 4 || at[3] != "reset") return not_found();
    result.operation = Operation::reset_cluster;
    return {};
  }
  if (at[3].empty()) return not_found();
  if (!text::percent_decode(at[3], result.bucket)) return decoding_failed();
  if (at[2] == "namespaces" && parts.count == 4) return namespace_route(method, query, result);
  if (at[2] != "checkpoints") return not_found();
  if (parts.count == 6) return shard_route(method, at[4], at[5], result);
  if (parts.count != 5 || at[4] != "latest" || method != "GET") return not_found();
  result.operation = Operation::latest_steps;
  if (const auto text = parameter(query, "limit")) {
    const auto limit = parse_count(*text);
    if (!limit) {
      return refuse_number(RouteError::malformed, "limit must be a whole number of at least 0.");
    }
    result.limit = *limit;
  }
  return {};
}

void clear(Route& route) {
  for (std::string* const text : {&route.bucket, &route.key, &route.lease_id}) text->clear();
  static_cast<RouteNumbers&>(route) = {};
}

}  // namespace

Routed route(std::string_view method, std::string_view target, const Behaviour& behaviour,
             Route& result) {
  clear(result);
  const auto [path, query] = split_target(target);
  const Parts parts = split_path(path);
  const auto& at = parts.at;
  if (parts.count < 4 || at[0] != "v1") return not_found();

  if (at[1] == "cp") return checkpoint_route(method, parts, query, result);
  if (at[1] == "leases") {
    if (method != "POST" || parts.count != 4 || at[3] != "release") return not_found();
    if (!text::percent_decode(at[2], result.lease_id)) return decoding_failed();
    result.operation = Operation::release;
    return {};
  }

  if (at[1] != "kv" || at[2].empty() || at[3].empty()) return not_found();
  const bool puts = method == "PUT" && parts.count == 4;
  const bool acquires = method == "POST" && parts.count == 5 && at[4] == "leases";
  if (!puts && !acquires) return not_found();
  if (!text::percent_decode(at[2], result.bucket) || !text::percent_decode(at[3], result.key)) {
    return decoding_failed();
  }
  result.operation = puts ? Operation::put : Operation::acquire;
  if (acquires) {
    if (const char* wrong = read_query(query, behaviour, result)) {
      return refuse_number(RouteError::malformed, wrong);
    }
  }
  return {};
}

}  // namespace hyperpod::emulator::http
