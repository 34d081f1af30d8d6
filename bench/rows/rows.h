// SPDX-License-Identifier: Apache-2.0
// Every row of the benchmark, a file each beside this one.
#pragma once

#include <cstddef>

#include "rows/row.h"
#include "servers.h"

namespace hyperpod::bench {

/// Lease and release against nginx, over `connections` keep-alive connections.
Row lease_against_nginx(std::size_t connections);
/// The same against the aiohttp daemon, over 1,024.
Row lease_against_aiohttp();
/// The same with the journal, as by default, against the emulator without: --journal-entries 0,
/// which leaves totals. Both look for faults in an empty plan, which costs a load of memory.
Row lease_with_journal();
/// New connections and an established one beside 32 streams of large bodies.
Row fairness_beside_bodies();
/// The same beside 300 connections that pipeline requests and read no response.
Row fairness_beside_pipelines();
/// What the one lock that all requests share costs: a call of the engine with so many objects.
Row engine_calls(std::uint64_t objects);
/// CPU time and threads of 1,024 idle connections.
Row idle_connections();
/// CPU time of an open page, beside 100,000 objects and as many requests as there can be.
Row open_page();
/// 1,000 leases held for a second, and what they do to others.
Row held_leases();
/// Bodies of 16 MiB against raw TCP received into a mapping.
Row put_against_raw_tcp(unsigned connections);
/// Bodies of so many bytes over 16 connections against an epoll loop that receives into a mapping.
Row put_against_epoll(std::uint64_t body);
/// Whether shards announce a checksum, which the daemon checks; then its comparator computes one.
enum class Checksums : std::uint8_t { none, checked };
/// Shards of 64 MiB against raw TCP received into a mapping, and sent out of one.
Row checkpoint_put(Checksums checksums);
Row checkpoint_get();
/// The latest of 10,000 steps.
Row checkpoint_latest();
/// The client's copy out of a lease against memcpy out of the same mapping, one thread.
Row client_copy(std::size_t object_mebibytes, Placement placement);
/// The client's whole get of 16 MiB, both requests included, against that memcpy.
Row client_get();
/// Acquire, touch and release by 16 threads against raw sockets that make the same calls.
Row client_acquire();
/// put_stream_chunk_bytes: as it is, or as large as the body.
enum class PutPieces : std::uint8_t { default_size, whole };
/// The client's puts of 16 MiB against raw sockets that send the same pieces to the same emulator.
Row client_put(PutPieces pieces);
/// Small gets, 16 in flight, against a Python client on aiohttp.
Row client_small();
/// The same by one thread, 100 in flight, against the load generator's epoll loop.
Row client_acquire_async();
/// Asynchronous small gets, 16 in flight, against that loop.
Row client_small_async();
/// A look-up of 4,096 keys against as many leases of that loop, 100 in flight.
Row client_lookup();
/// Threads of a client with 100 requests in flight.
Row client_threads();
/// Memory of a client with 128 open connections.
Row client_memory();
/// The Python package: get_into of 16 MiB against the C++ client's get.
Row python_get_into();
/// Coroutines that get 4 KiB, 64 in flight in one loop, against the client on aiohttp.
Row python_small();
/// LMCache's connector, gets of 4 KiB with 16 in flight, against the client on aiohttp.
Row python_lmcache_small();
/// The same with gets of 16 MiB, four in flight.
Row python_lmcache_large();
/// The start of a daemon of the fixture.
Row python_start();
/// Memory beside the segment with 100,000 objects and 1,024 connections.
Row memory();
/// Starting and stopping the emulator in-process.
Row start_and_stop();

}  // namespace hyperpod::bench
