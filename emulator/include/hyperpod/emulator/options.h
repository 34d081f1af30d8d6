// SPDX-License-Identifier: Apache-2.0
// How an emulator is set up. Each field tells its default, its unit and what it costs.
//
// Facts about the real daemon are cited by the ids of docs/protocol.md; docs/fidelity.md lists
// every behaviour that nobody has seen of the real daemon together with its switch here.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hyperpod/base/log.h"
#include "hyperpod/emulator/clock.h"
#include "hyperpod/emulator/faults.h"

namespace hyperpod::emulator {

/// Where the blocks of one object lie. Only the last two are for tests of readers.
enum class Placement {
  contiguous,  ///< One fragment where a free run allows it, else as few as possible.
  scattered,   ///< No two blocks side by side where free space allows it: a fragment a block.
  worst_case,  ///< As scattered, and the first fragment ends inside a chunk header (13 bytes).
};

/// When the segment's memory is taken from the system (assumed).
enum class Reserve {
  whole,   ///< All of it at start: where /dev/shm is too small, that is an error then.
  on_use,  ///< Each block when a PUT first gets it, to be kept; none left is PUT-12, no room.
};

/// Who wins when two PUTs of one key overlap (protocol PUT-10, inferred).
enum class PutRace {
  first_complete,  ///< Both bodies are received; the first that is complete is stored.
  first_begun,     ///< A PUT that begins while another is in flight is answered 409.
};

/// What the real daemon does where nothing public says so. Statuses must lie in 400..599.
struct Behaviour {
  /// Status of a lease request whose key is absent when its hold ends. Clients take 504 and 404.
  int miss_status = 504;
  /// Status of a release of an unknown, released or expired id (REL-02, inferred).
  int unknown_release_status = 404;
  /// Status of a PUT without a body (PUT-11, assumed).
  int empty_put_status = 400;
  /// Status of a PUT for which no room can be made (PUT-12, assumed).
  int no_room_status = 507;
  /// Status of a PUT larger than the whole capacity (PUT-13, assumed).
  int too_large_status = 413;
  /// Accept PUT bodies with chunked transfer coding (PUT-06, assumed); false answers 411.
  bool accept_chunked = true;
  /// Answer `Expect: 100-continue` (PUT-14, assumed); false answers 417.
  bool honour_expect = true;
  /// Hold of a lease request that names no timeout_ms (LEASE-08, assumed).
  std::chrono::milliseconds default_hold{0};
  /// TTL of a lease request that names no ttl_s (LEASE-08, assumed).
  std::chrono::milliseconds default_ttl{30'000};
  /// The longest hold granted, whatever timeout_ms asks for (assumed: nothing public limits it).
  std::chrono::milliseconds max_hold{std::chrono::hours{1}};
  /// The longest TTL granted, whatever ttl_s asks for (assumed: nothing public limits it).
  std::chrono::milliseconds max_ttl{std::chrono::hours{24}};
  /// Grant a waiting request the moment its key is stored (HOLD-04, inferred); false lets it look
  /// again only when its hold ends.
  bool wake_waiters = true;
  /// Forget a waiting request when its connection closes (HOLD-06, inferred); false grants a lease
  /// that nobody owns and that only its TTL ends.
  bool drop_abandoned_waiters = true;
  PutRace put_race = PutRace::first_complete;
  /// Status of creating a namespace that is there with other numbers (inferred).
  int namespace_conflict_status = 409;
  /// Status of storing a shard into a namespace that is not there (assumed).
  int absent_namespace_status = 404;
  /// Status of an invalid rank or step (assumed).
  int shard_address_status = 400;
  /// Status of a shard whose bytes do not fit its checksum (assumed).
  int shard_checksum_status = 400;
  /// Check a shard against the checksum in its Shard-Meta where its algorithm is xxh3_128
  /// (assumed).
  bool check_shards = true;
  /// Accept shards of no bytes (assumed); false responds with empty_put_status.
  bool accept_empty_shards = true;
  /// A shard stored again takes the place of the first (assumed); false responds 409.
  bool replace_shards = true;
  /// A step counts as latest once one rank has stored it (assumed: once all have).
  bool latest_counts_incomplete = false;
  /// Of each namespace only the newest complete steps are kept (assumed).
  bool retire_steps = true;
  /// A reset of the cluster drops KV objects too (assumed).
  bool cluster_reset_drops_objects = true;
};

/// Bounds on what a peer can make the daemon spend. Assumed throughout: the real ones are unknown.
struct Limits {
  /// Request line and headers together, in bytes; beyond it 431, or 414 when the target alone is.
  std::uint32_t head_bytes = 16 * 1024;
  std::uint32_t headers = 200;
  /// A request head must be complete this long after its first byte.
  std::chrono::milliseconds head_timeout{10'000};
  /// A body or a response that makes no progress for this long ends its connection.
  std::chrono::milliseconds stall_timeout{30'000};
  /// A connection without a request is closed after this long. Clients close theirs after 30 s.
  std::chrono::milliseconds idle_timeout{120'000};
  /// A body must come at this many bytes a second on average, judged from stall_timeout after its
  /// beginning on; a slower one ends its connection. 0: at any rate.
  std::uint64_t body_rate = 1024;
  /// A body must be complete this long after its beginning.
  std::chrono::milliseconds body_timeout{std::chrono::minutes{10}};
  /// Room for a body is reserved in steps of this many bytes as it comes, whatever length was
  /// announced, so that an announcement alone evicts little. Smaller steps leave objects in more
  /// fragments where PUTs overlap. With Placement::contiguous.
  std::uint64_t room_step = 64ull << 20;
  /// Of a body that is refused, at most this many bytes are read before the connection is closed.
  std::uint64_t drain_bytes = 256ull << 20;
  /// Connections beyond this many are closed at once. 0: no limit but the process's descriptors.
  std::uint32_t connections = 0;
};

struct TlsOptions {
  /// PEM files; both or neither. With neither and no directory the data port is plain HTTP.
  std::string certificate_file;
  std::string key_file;
  /// Directory in which a self-signed certificate is made: cert.pem, key.pem, and ca.pem for
  /// clients to trust. Existing files there are used again. Excludes the two files above.
  std::string self_signed_directory;

  bool enabled() const { return !certificate_file.empty() || !self_signed_directory.empty(); }
};

struct Options {
  /// HOST:PORT of the data port; an IPv6 host stands in brackets. Port 0 picks a free one. The real
  /// daemon listens on [::]:9200; the default here keeps to this machine.
  std::string listen = "127.0.0.1:9200";
  /// Name of the POSIX shared-memory segment, without a slash; it appears as /dev/shm/NAME.
  std::string shm_name = "ai_toolkit_cache";
  /// Size of the segment in bytes, a multiple of block_size.
  std::uint64_t capacity = 1ull << 30;
  /// Unit of allocation in bytes; an object occupies whole blocks (assumed: nobody published it).
  std::uint64_t block_size = 1ull << 20;
  /// Permissions of the segment; real nodes have 0600.
  mode_t shm_mode = 0600;
  /// Take the segment's name over even when it is not known to be stale.
  bool replace_segment = false;
  /// Remove the segment also where a signal ends this process: at start, each signal that would end
  /// the process, SIGINT and SIGTERM included, gets a handler that removes its segments and ends it
  /// by that signal. Signals that are ignored or have a handler are left alone. The handlers stay
  /// until the process ends. Without this a process that a signal ends leaves its segment behind.
  bool remove_on_signals = false;
  /// Reserving takes some 0.4 ms a MiB, at start or in the PUTs.
  Reserve reserve = Reserve::whole;
  /// Touch every page at start: slower start, faster first PUTs. Not with Reserve::on_use.
  bool prefault = false;
  Placement placement = Placement::contiguous;
  Behaviour behaviour;
  Limits limits;
  TlsOptions tls;
  /// HOST:PORT of the admin port, with everything that is not the real daemon's: health, metrics,
  /// state, faults, journal, clock, and a page that shows them. Empty: none. Without a token
  /// whoever reaches it can do everything; keep it on loopback then.
  std::string admin;
  /// Names under which the admin port may be asked, besides IP addresses, localhost and the
  /// machine's own name. A request for any other Host is refused, so that no web site can point a
  /// name of its own at the port.
  std::vector<std::string> admin_hosts;
  /// What a request to the admin port must send as its bearer token, health, readiness and metrics
  /// aside. Empty: nothing.
  std::string admin_token;
  /// Whether the admin port is meant to be open to other machines without a token, as in a
  /// container whose ports nobody publishes. It keeps a warning at start away, and does no more.
  bool admin_open = false;
  /// Faults in force before the first connection is accepted.
  std::vector<Fault> faults;
  /// Requests that the journal remembers, each at some 400 bytes.
  std::size_t journal_entries = 10'000;
  /// I/O threads, each with an event loop of its own; 0 takes one per core.
  unsigned threads = 0;
  /// Null takes the machine's clock. See ManualClock and AdjustableClock.
  std::shared_ptr<Clock> clock;
  /// Null logs nothing. hyperpod/base/spdlog.h makes one of a logger of spdlog.
  std::shared_ptr<base::LogSink> log;

  /// Options for a test: a free port on 127.0.0.1, a segment name of its own with random digits,
  /// 64 MiB in blocks of 64 KiB that are reserved on use, removed on signals, one I/O thread. What
  /// a killed test leaves is removed by the next emulator that this user starts.
  static Options for_test();
};

}  // namespace hyperpod::emulator
