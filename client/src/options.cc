// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/options.h"

#include <fmt/format.h>

#include <algorithm>

#include "invalid_option.h"
#include "points.h"
#include "segment_name.h"

namespace hyperpod::client {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds min_timeout{100};
constexpr std::chrono::hours max_duration{24 * 365};
constexpr std::uint64_t min_put_chunk = 1024;

// Compares in the value's own unit, for the longest time in milliseconds overflows in nanoseconds.
template <class Duration>
std::optional<Error> check_duration(const char* name, Duration value) {
  if (value <= Duration::zero()) return invalid(fmt::format("{} must be positive", name));
  if (value > max_duration) return invalid(fmt::format("{} must not exceed a year", name));
  return std::nullopt;
}

template <class T>
std::optional<Error> check_positive(const char* name, T value) {
  if (value == 0) return invalid(fmt::format("{} must be positive", name));
  return std::nullopt;
}

std::optional<Error> check(const ClientOptions& options) {
  if (options.bucket.empty()) return invalid("sagemaker_hyperpod_bucket must not be empty");
  if (options.shared_memory_name) {
    if (auto error = check_segment_name(*options.shared_memory_name)) return error;
  }
  if (auto e = check_positive("sagemaker_hyperpod_max_concurrent_requests",
                              options.max_concurrent_requests))
    return e;
  if (auto e = check_positive("sagemaker_hyperpod_max_connections", options.max_connections))
    return e;
  if (auto e = check_positive("sagemaker_hyperpod_max_connections_per_host",
                              options.max_connections_per_host)) {
    return e;
  }
  if (auto e = check_positive("copy_threads", options.copy_threads)) return e;
  if (auto e = check_duration("sagemaker_hyperpod_timeout_ms", options.timeout)) return e;
  if (options.lease_wait_timeout) {
    if (auto e =
            check_duration("sagemaker_hyperpod_lease_wait_timeout_ms", *options.lease_wait_timeout))
      return e;
  }
  if (auto e = check_duration("sagemaker_hyperpod_lease_ttl_s", options.lease_ttl)) return e;
  if (auto e = check_positive("sagemaker_hyperpod_put_stream_chunk_bytes",
                              options.put_stream_chunk_bytes))
    return e;
  if (options.max_lease_bytes)
    return check_positive("sagemaker_hyperpod_max_lease_size_mb", *options.max_lease_bytes);
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> normalise(ClientOptions& options) {
  if (auto error = check(options)) return tl::unexpected(*std::move(error));
  std::vector<std::string> warnings;
  milliseconds shortest = min_timeout;
  HYPERPOD_POINT("options.min_timeout", shortest);
  if (options.timeout < shortest) {
    warnings.push_back(fmt::format("sagemaker_hyperpod_timeout_ms {} is raised to its minimum {}",
                                   options.timeout.count(), min_timeout.count()));
    options.timeout = min_timeout;
  }
  if (options.put_stream_chunk_bytes < min_put_chunk) {
    warnings.push_back(
        fmt::format("sagemaker_hyperpod_put_stream_chunk_bytes {} is raised to its minimum {}",
                    options.put_stream_chunk_bytes, min_put_chunk));
    options.put_stream_chunk_bytes = min_put_chunk;
  }
  return warnings;
}

}  // namespace hyperpod::client
