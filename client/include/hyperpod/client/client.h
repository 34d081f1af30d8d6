// SPDX-License-Identifier: Apache-2.0
// The client: stores objects in HyperPod's KV daemons over HTTP, and reads them from shared memory.
//
//   auto loaded = hyperpod::client::load_options();   // LMCache's file and variables
//   auto client = hyperpod::client::Client::create(loaded->options);
//   client->put("key", bytes);
//   auto got = client->get("key", buffer);            // or client->acquire("key") for no copy
//   if (got && got->is_hit()) use(buffer.first(got->size));
//
// Every call has its outcome by its deadline: the timeout for a put, the lease's wait and half a
// second for what reads. Waiting in the client's queue, for the name service and for a connection
// counts. The plain calls block their thread meanwhile; each has an async_ form that takes a
// handler.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/client/call.h"
#include "hyperpod/client/chunk.h"
#include "hyperpod/client/error.h"
#include "hyperpod/client/lease.h"
#include "hyperpod/client/options.h"
#include "hyperpod/client/statistics.h"

namespace hyperpod::client {

class ClientCore;

enum class PutOutcome {
  stored,
  already_stored,  ///< The key had an object before, which stays as it was. A success.
};

enum class GetStatus {
  hit,
  miss,
  lease_expired,  ///< The bytes could not be had within the lease's TTL. To be treated as a miss.
};

/// How a get ended that met no error.
struct GetOutcome {
  GetStatus status = GetStatus::miss;
  std::uint64_t size = 0;  ///< Bytes written into the buffer; 0 unless it is a hit.

  bool is_hit() const { return status == GetStatus::hit; }
};

/// As GetOutcome, with the object's bytes.
struct ObjectOutcome {
  GetStatus status = GetStatus::miss;
  std::unique_ptr<std::byte[]> data;
  std::uint64_t size = 0;

  bool is_hit() const { return status == GetStatus::hit; }
  std::span<const std::byte> bytes() const { return {data.get(), size}; }
};

/// As GetOutcome, for the payload of a chunk.
struct ChunkOutcome {
  GetStatus status = GetStatus::miss;
  std::uint64_t size = 0;
  ChunkLayout layout;

  bool is_hit() const { return status == GetStatus::hit; }
};

struct ContainsOutcome {
  /// How many keys, from the first on, are there.
  std::size_t hits = 0;
  /// Why the count ended before the last key, if that was not a miss.
  std::optional<Error> error;
};

struct GetItem {
  std::string_view key;
  std::span<std::byte> buffer;
};

struct PutItem {
  std::string_view key;
  std::span<const std::byte> bytes;
  /// Given: the bytes are the payload of a chunk, as in put_chunk().
  std::optional<ChunkLayout> layout = {};
};

/// What a call that reads may ask for.
struct ReadOptions {
  /// A prefetch waits behind calls whose caller needs the bytes now, though never for long.
  bool prefetch = false;
  /// How long the daemon may hold the request while the key is absent; 0 asks what is there now.
  /// None: the client's lease_wait_timeout.
  std::optional<std::chrono::milliseconds> wait = {};
};

/// A client of one or several daemons. Move-only. Except for move and destruction, which need
/// exclusive access, every member may be called from any thread. Keys are any non-empty bytes;
/// the protocol knows of UTF-8 alone (KEY-06), and the emulator refuses the rest.
///
/// A miss is an outcome, not an error. An error of one daemon (unreachable, timed_out, …) concerns
/// the keys that it holds and no others; callers who only want bytes may take every error for a
/// miss. Besides those named below, every call may end in unreachable, timed_out, refused,
/// malformed_response, out_of_resources, closed and invalid_argument (an empty key, or a blocking
/// call on the client's own I/O thread).
///
/// A client has one I/O thread, on which no signal of the process is delivered, and changes no
/// signal's disposition; the thread of a blocking call may send and receive for it. It serves the
/// process that made it: in a child made by fork() every call ends in `forked`, destruction does
/// nothing, and the parent is not disturbed.
class Client {
 public:
  /// Checks the options (see normalise()), and neither connects nor maps: a daemon that is not
  /// there yet is found when it is. Errors: invalid_option, out_of_resources (no thread, descriptor
  /// or memory is to be had).
  static Result<Client> create(ClientOptions options);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();  ///< Calls close().

  /// Stores `object`, which is sent from where it lies. Errors: too_large for the daemon (413).
  Result<PutOutcome> put(std::string_view key, std::span<const std::byte> object);

  /// Stores a chunk: LMCache's header and `payload`, or with save_chunk_meta false `payload` alone.
  Result<PutOutcome> put_chunk(std::string_view key, const ChunkLayout& layout,
                               std::span<const std::byte> payload);

  /// Reads the object into `buffer`, which may be longer; the lease is released in the background.
  /// What stands in `buffer` after anything but a hit is worthless. Errors: segment_missing,
  /// segment_unreadable, too_large (the object exceeds max_lease_bytes or the buffer).
  Result<GetOutcome> get(std::string_view key, std::span<std::byte> buffer,
                         const ReadOptions& read = {});

  /// Reads the object into memory allocated for it. Errors: as above.
  Result<ObjectOutcome> get(std::string_view key, const ReadOptions& read = {});

  /// Reads the payload of a chunk. Its layout comes from its header, which is taken to hold as many
  /// groups as `expected`; with save_chunk_meta false it is `expected`, with fewer tokens if the
  /// object is shorter. Errors: as get(), and malformed_response for an object that is not such a
  /// chunk.
  Result<ChunkOutcome> get_chunk(std::string_view key, std::span<std::byte> payload,
                                 const ChunkLayout& expected, const ReadOptions& read = {});

  /// Leases the object for reading in place; nullopt is a miss. Errors: segment_missing,
  /// segment_unreadable, too_large (max_lease_bytes).
  Result<std::optional<Lease>> acquire(std::string_view key, const ReadOptions& read = {});

  /// Whether the daemon has the object. Works without a segment.
  Result<bool> exists(std::string_view key, const ReadOptions& read = {});

  /// Reads many objects at once; one outcome for each item, in order. All items share one deadline.
  /// Throws std::bad_alloc if there is no memory for the outcomes.
  std::vector<Result<GetOutcome>> batched_get(std::span<const GetItem> items,
                                              const ReadOptions& read = {});

  /// Stores many objects at once; one outcome for each item, in order. Throws as batched_get().
  std::vector<Result<PutOutcome>> batched_put(std::span<const PutItem> items);

  /// Counts the keys that are there, from the first on, as LMCache does, under one deadline. Up to
  /// max_concurrent_requests are asked for at once, and none after the first that is not there has
  /// been found.
  ContainsOutcome batched_contains(std::span<const std::string> keys, const ReadOptions& read = {});

  // The same without waiting: see Handler for when and where the outcome is told, and Call for how
  // to cancel. Keys are copied; objects and buffers, and the keys of items, must stay as they are
  // until the handler is called.

  Call async_put(std::string_view key, std::span<const std::byte> object,
                 Handler<Result<PutOutcome>> handler);
  Call async_get(std::string_view key, std::span<std::byte> buffer,
                 Handler<Result<GetOutcome>> handler, const ReadOptions& read = {});
  Call async_get(std::string_view key, Handler<Result<ObjectOutcome>> handler,
                 const ReadOptions& read = {});
  Call async_acquire(std::string_view key, Handler<Result<std::optional<Lease>>> handler,
                     const ReadOptions& read = {});
  Call async_exists(std::string_view key, Handler<Result<bool>> handler,
                    const ReadOptions& read = {});
  Call async_batched_get(std::vector<GetItem> items,
                         Handler<std::vector<Result<GetOutcome>>> handler,
                         const ReadOptions& read = {});
  Call async_batched_put(std::vector<PutItem> items,
                         Handler<std::vector<Result<PutOutcome>>> handler);
  Call async_batched_contains(std::vector<std::string> keys, Handler<ContainsOutcome> handler,
                              const ReadOptions& read = {});

  /// Ends the client: calls that wait in the queue or for the name service and later ones end in
  /// `closed`, those on the wire are waited for, and so are releases; those that failed are tried
  /// once more; all connections are closed. Leases still held stay readable and are released when
  /// they go. On the client's own I/O thread it only begins all that. Idempotent.
  void close();

  Statistics statistics() const;
  std::vector<DaemonState> daemons() const;

 private:
  explicit Client(std::shared_ptr<ClientCore> core);
  std::shared_ptr<ClientCore> core_;
};

}  // namespace hyperpod::client
