// SPDX-License-Identifier: Apache-2.0
// What the rows of the client have in common: a client of a server, and objects to read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "error.h"
#include "hyperpod/client/client.h"
#include "servers.h"

namespace hyperpod::bench {

/// A client of the server and its segment, with the defaults but for what `change` changes.
Result<client::Client> make_client(
    const Server& server,
    const std::function<void(client::ClientOptions&)>& change = [](client::ClientOptions&) {});

/// The key that load/workloads.h percent-encodes for its requests.
std::string plain_object_key(std::uint64_t number);

/// Stores objects 0 … count - 1, of `bytes` each.
Result<void> store_with_client(client::Client& client, std::uint64_t count, std::size_t bytes);

/// The client's error as the benchmark's.
tl::unexpected<Error> client_failure(const client::Error& error);

/// A live lease of an object that has been stored; its absence is an error.
Result<client::Lease> acquire_stored(client::Client& client, const std::string& key);

/// What a thread does over and over; the number tells it from the others.
using Operation = std::function<Result<void>(unsigned thread)>;

/// How often a second so many threads together do it, in a time after a short warm-up.
Result<double> operations_a_second(unsigned threads, std::chrono::milliseconds duration,
                                   const Operation& operation);

}  // namespace hyperpod::bench
