// SPDX-License-Identifier: Apache-2.0
// Where daemons are: reads the remote_url of LMCache's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/client/config.h"
#include "hyperpod/client/error.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client {

struct DaemonAddress {
  bool https = false;
  std::string host;  // without brackets; of an IPv6 address with its zone, as in fe80::1%eth0
  std::uint16_t port = 0;
  std::string path_prefix;  // without a slash at its end; mostly empty
  std::optional<std::string> segment;

  /// HOST:PORT with an IPv6 host in brackets: how the daemon is named in messages and placement.
  std::string authority() const;
  /// What stands in the Host header: authority() without a zone and without the scheme's default
  /// port.
  std::string host_header() const;
};

/// The environment variables that a remote_url refers to, in order.
std::vector<std::string> variables_in(std::string_view remote_url);

/// The daemons that options.remote_url lists (see there for its form), each with its segment. No
/// port means 80 or, for HTTPS, 443, as LMCache has it. An IPv6 address that a variable holds gets
/// its brackets, and ADDRESS:PORT without brackets is understood. Errors (invalid_option): a
/// variable that is not set, empty, or quoted; an unusable address; two addresses alike; two
/// daemons with one segment.
Result<std::vector<DaemonAddress>> parse_addresses(const ClientOptions& options,
                                                   const Environment& environment);

}  // namespace hyperpod::client
