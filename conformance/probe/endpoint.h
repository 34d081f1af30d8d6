// SPDX-License-Identifier: Apache-2.0
// Where a daemon's data port is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "probe/time.h"

namespace hyperpod::conformance::probe {

struct Endpoint {
  bool tls = false;
  std::string host;  ///< A name or an address; an IPv6 address without its brackets.
  std::uint16_t port = 9200;

  /// What a Host header says: host:port, an IPv6 address in brackets.
  std::string authority() const;
  /// As it was given: http://host:port or https://host:port.
  std::string url() const;
};

/// Understands http://HOST[:PORT][/] and https://…; PORT defaults to 9200, the daemon's.
Result<Endpoint> parse_url(std::string_view url);

}  // namespace hyperpod::conformance::probe
