// SPDX-License-Identifier: Apache-2.0
// Addresses as options write them: HOST:PORT, with an IPv6 host in brackets.
//
// Pure functions; any thread. Nothing is resolved here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::text {

struct HostPort {
  std::string host;  ///< Name or address, without brackets.
  std::uint16_t port = 0;
};

/// Reads "127.0.0.1:9200", "localhost:0" or "[::]:9200". Host and port are both required.
Result<HostPort> parse_host_port(std::string_view text);

}  // namespace hyperpod::emulator::text
