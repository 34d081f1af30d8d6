// SPDX-License-Identifier: Apache-2.0
// A running emulator as a test sees it: its port, its segment and its figures.
//
// For tests. What fails throws std::runtime_error.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "hyperpod/emulator/emulator.h"
#include "testing/wire_client.h"

namespace hyperpod::emulator::test {

/// Options::for_test() with `clock`; null takes the machine's.
Options test_options(std::shared_ptr<Clock> clock = nullptr);

class Daemon {
 public:
  explicit Daemon(Options options = test_options());

  Emulator& emulator() { return emulator_; }
  Statistics statistics() const { return emulator_.statistics(); }
  WireClient connect() const { return WireClient(emulator_.port()); }

  /// Waits until `holds` of the statistics, and says whether it came to that.
  bool reaches(const std::function<bool(const Statistics&)>& holds) const;

  /// The bytes that a granted lease leads to, put together from a read-only mapping of the segment.
  std::string leased_bytes(const Reply& grant) const;

 private:
  Emulator emulator_;
};

/// The id in a grant.
std::string id_of(const Reply& grant);
std::size_t fragments_of(const Reply& grant);

/// Bytes without a pattern that two seeds share.
std::string random_bytes(std::size_t size, unsigned seed = 1);

// Requests as the public clients send them. `path` is BUCKET/KEY, percent-encoded; `fields` are
// further header lines, each with its line end.
std::string put_head(std::string_view path, std::uint64_t length, std::string_view fields = "");
std::string put_request(std::string_view path, std::string_view body, std::string_view fields = "");
std::string chunked_head(std::string_view path);
std::string lease_request(std::string_view path,
                          std::string_view query = "timeout_ms=0&ttl_s=30.0");
std::string release_request(std::string_view id);
std::string get_request(std::string_view target = "/");

}  // namespace hyperpod::emulator::test
