// SPDX-License-Identifier: Apache-2.0
// How a client is set up. Each field tells its default, its unit and what it costs.
//
// The parameters are those of LMCache's page "SageMaker Hyperpod Backend"; docs/client.md has the
// table that maps each field to its key in LMCache's configuration. See config.h for reading that.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hyperpod/base/log.h"
#include "hyperpod/client/call.h"
#include "hyperpod/client/clock.h"
#include "hyperpod/client/error.h"

namespace hyperpod::client {

struct TlsOptions {
  /// PEM file of the authorities to trust; empty trusts those of the system.
  std::string ca_file;
  /// False accepts any certificate: for tests only.
  bool verify_server = true;
};

struct ClientOptions {
  /// Where the daemons are: `sagemaker-hyperpod://HOST:PORT`, `http://…`, `https://…` or plain
  /// HOST:PORT; an IPv6 host stands in brackets. `$NAME` and `${NAME}` are replaced from the
  /// environment, with brackets around an IPv6 address. Several daemons are separated by commas,
  /// each with its own segment behind a `#`: `10.0.0.1:9200#cache_a,10.0.0.2:9200#cache_b`. Keys
  /// are spread over them by rendezvous hashing, so that a daemon which is down costs its own keys
  /// and moves none. No default.
  std::string remote_url;
  /// Namespace of the keys in the daemon.
  std::string bucket = "lmcache";
  /// Name of the POSIX shared-memory segment, without a slash, for daemons that name none of their
  /// own. Real nodes have "ai_toolkit_cache". None: objects can be stored and looked up, not read.
  std::optional<std::string> shared_memory_name = "shared_memory";
  /// Requests in flight at any moment. Callers beyond it queue, and their deadlines run meanwhile.
  std::uint32_t max_concurrent_requests = 100;
  /// TCP connections of this client. N workers on a node open N times as many.
  std::uint32_t max_connections = 256;
  /// TCP connections of this client to one daemon.
  std::uint32_t max_connections_per_host = 128;
  /// How long a put or a release may take, queueing included; and the default of
  /// lease_wait_timeout. At least 100 ms.
  std::chrono::milliseconds timeout{5000};
  /// How long the daemon may hold a lease request while its key is absent, which is what a miss
  /// costs. The client itself gives up half a second later. None: `timeout`.
  std::optional<std::chrono::milliseconds> lease_wait_timeout;
  /// After this long the daemon may reuse the bytes of a lease. Longer TTLs pin more after a crash.
  std::chrono::nanoseconds lease_ttl{std::chrono::seconds{30}};
  /// Size in bytes of the pieces in which a put is sent, at least 1,024. Larger is faster.
  std::uint64_t put_stream_chunk_bytes = 65536;
  /// Objects of more bytes are not read but reported as too large. None: no limit.
  std::optional<std::uint64_t> max_lease_bytes;
  /// Speak HTTPS to daemons whose address says neither http:// nor https://.
  bool use_https = false;
  /// Chunks carry LMCache's header. False saves its bytes, and readers must know the layout.
  bool save_chunk_meta = true;
  TlsOptions tls;
  /// Threads that may share the copy of one object of 2 MiB or more, the caller included; and that
  /// copy the larger objects of asynchronous gets. At least 1. They are started when first needed.
  /// More copy faster where one core does not saturate the memory.
  std::uint32_t copy_threads = 1;
  /// Where the handlers of asynchronous calls run: it is called on the client's I/O thread (in a
  /// child process after fork(), on the caller's) and passes the task on to be called once. It must
  /// neither block nor throw. Empty: handlers run on the I/O thread.
  std::function<void(Task)> executor;
  /// Null takes the machine's clock. A clock that is moved by hand moves the client's timers, too:
  /// nothing times out, and no circuit or release is tried again, until it is moved.
  std::shared_ptr<Clock> clock;
  /// Null logs warnings and errors to stderr.
  std::shared_ptr<base::LogSink> logger;
};

/// Brings `options` into the documented ranges: what is below its minimum is raised to it, and the
/// result holds one sentence for each value so changed. A zero or negative value is an error
/// (invalid_option), as is what cannot be meant: an empty bucket, a segment name with a slash.
Result<std::vector<std::string>> normalise(ClientOptions& options);

}  // namespace hyperpod::client
