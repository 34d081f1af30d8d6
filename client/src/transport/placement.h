// SPDX-License-Identifier: Apache-2.0
// Which of several daemons holds a key: rendezvous hashing.
//
// Each daemon scores each key, and the highest score wins; so a daemon that comes or goes moves
// only the keys that it wins. The score is FNV-1a (64 bit) over the daemon's HOST:PORT, a zero
// byte and the key, put through the finaliser of splitmix64. Clients on different nodes must agree
// on it, hence it may not change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hyperpod::client::transport {

std::uint64_t placement_score(std::string_view authority, std::string_view key);

/// Index of the daemon for `key`. REQUIRES: at least one authority.
std::size_t place(const std::vector<std::string>& authorities, std::string_view key);

}  // namespace hyperpod::client::transport
