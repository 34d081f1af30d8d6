// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/client.h"

#include <condition_variable>
#include <mutex>
#include <new>
#include <utility>

#include "batch.h"
#include "client_core.h"
#include "fork.h"
#include "hyperpod/base/text.h"
#include "lease_impl.h"
#include "log.h"
#include "no_memory.h"
#include "points.h"
#include "waiter.h"

namespace hyperpod::client {
namespace {

using LeaseResult = Result<std::optional<Lease>>;

// A copy of so many bytes costs the I/O thread less than waking another one.
constexpr std::uint64_t copied_on_the_loop = 32 << 10;

// What a copy's error means for a get: a lease that went is not an error.
Result<GetStatus> status_of(const Result<void>& copied) {
  if (copied) return GetStatus::hit;
  if (copied.error().code == ErrorCode::lease_expired) return GetStatus::lease_expired;
  return tl::unexpected(copied.error());
}

Error buffer_too_small(std::string_view key, std::uint64_t size, std::uint64_t room) {
  return {ErrorCode::too_large,
          fmt::format("{} has {} bytes, and the buffer only {}", base::quoted(key), size, room)};
}

// The outcome of a get whose lease request ended so; `read` reads a lease.
template <class Outcome, class Read>
Result<Outcome> outcome_of(ClientCore& core, LeaseResult lease, const Read& read) {
  Result<Outcome> outcome = [&]() -> Result<Outcome> {
    if (!lease) return tl::unexpected(std::move(lease).error());
    if (!*lease) return Outcome{};
    try {
      return read(**lease);
    } catch (const std::bad_alloc&) {
      return tl::unexpected(no_memory());
    }
  }();
  outcome ? core.count_get(outcome->status) : core.count_get_error();
  return outcome;
}

auto reader_into(std::string_view key, std::span<std::byte> buffer) {
  return [key, buffer](const Lease& lease) -> Result<GetOutcome> {
    if (lease.size() > buffer.size()) {
      return tl::unexpected(buffer_too_small(key, lease.size(), buffer.size()));
    }
    const auto status = status_of(ClientCore::copy_granted(lease, buffer.first(lease.size())));
    if (!status) return tl::unexpected(status.error());
    return GetOutcome{*status, *status == GetStatus::hit ? lease.size() : 0};
  };
}

Result<ObjectOutcome> read_object(const Lease& lease) {
  std::unique_ptr<std::byte[]> data(new (std::nothrow) std::byte[lease.size()]);
  if (!data) {
    return tl::unexpected(Error{ErrorCode::out_of_resources,
                                fmt::format("no memory for an object of {} bytes", lease.size())});
  }
  const auto status = status_of(ClientCore::copy_granted(lease, {data.get(), lease.size()}));
  if (!status) return tl::unexpected(status.error());
  if (*status != GetStatus::hit) return ObjectOutcome{*status, nullptr, 0};
  return ObjectOutcome{*status, std::move(data), lease.size()};
}

// What a chunk's object holds: its layout, and where its payload begins.
struct ChunkPlan {
  GetStatus status;
  ChunkLayout layout;
  std::uint64_t payload_offset;
};

Result<ChunkPlan> plan_chunk(const Lease& lease, const ChunkLayout& expected, bool has_header) {
  if (!has_header) {
    auto layout = partial_layout(expected, lease.size());
    if (!layout) return tl::unexpected(std::move(layout).error());
    return ChunkPlan{GetStatus::hit, *std::move(layout), 0};
  }
  std::vector<std::byte> bytes(
      std::min<std::uint64_t>(chunk_header_bytes(expected.groups.size()), lease.size()));
  const auto status = status_of(ClientCore::copy_granted(lease, bytes));
  if (!status) return tl::unexpected(status.error());
  if (*status != GetStatus::hit) return ChunkPlan{*status, {}, 0};
  auto header = decode_chunk_header(bytes, expected.groups.size());
  if (!header) return tl::unexpected(std::move(header).error());
  if (bytes.size() + header->payload_bytes != lease.size()) {
    return tl::unexpected(Error{ErrorCode::malformed_response,
                                fmt::format("the chunk header tells {} bytes, but {} follow it",
                                            header->payload_bytes, lease.size() - bytes.size())});
  }
  return ChunkPlan{GetStatus::hit, std::move(header->layout), bytes.size()};
}

Result<ChunkOutcome> read_chunk(const Lease& lease, std::string_view key,
                                std::span<std::byte> payload, const ChunkLayout& expected,
                                bool has_header) {
  auto plan = plan_chunk(lease, expected, has_header);
  if (!plan) return tl::unexpected(std::move(plan).error());
  if (plan->status != GetStatus::hit) return ChunkOutcome{plan->status, 0, {}};
  const std::uint64_t size = lease.size() - plan->payload_offset;
  if (size > payload.size()) return tl::unexpected(buffer_too_small(key, size, payload.size()));
  const auto status =
      status_of(ClientCore::copy_granted(lease, payload.first(size), plan->payload_offset));
  if (!status) return tl::unexpected(status.error());
  if (*status != GetStatus::hit) return ChunkOutcome{*status, 0, {}};
  return ChunkOutcome{*status, size, std::move(plan->layout)};
}

// What stands before a put's payload.
Result<std::vector<std::byte>> header_of(const ClientCore& core, const PutItem& item) {
  bool has_header = item.layout && core.options().save_chunk_meta;
  HYPERPOD_POINT("put.has_header", has_header, item);
  if (!has_header) return std::vector<std::byte>();
  return encode_chunk_header(*item.layout, item.bytes.size());
}

bool has_header(const ClientCore& core) {
  bool header = core.options().save_chunk_meta;
  HYPERPOD_POINT("get.has_header", header);
  return header;
}

Call start_put(ClientCore& core, const PutItem& item, TimePoint deadline,
               Handler<Result<PutOutcome>> handler, WaitingThread* waiting = nullptr) {
  auto header = header_of(core, item);
  if (!header) {
    core.post([handler = std::move(handler), error = std::move(header).error()]() mutable {
      handler(tl::unexpected(std::move(error)));
    });
    return {};
  }
  return core.put(item.key, *std::move(header), item.bytes, deadline, std::move(handler), waiting);
}

// A get whose bytes are copied on the loop's thread, or on one for copies. `read` must hold what it
// needs.
template <class Outcome, class Read>
Call start_get(const std::shared_ptr<ClientCore>& core, std::string_view key,
               const ReadOptions& options, TimePoint deadline, Read read,
               Handler<Result<Outcome>> handler) {
  return core->acquire(
      key, options, deadline,
      [core, read = std::move(read), handler = std::move(handler)](LeaseResult lease) mutable {
        const bool copies_much = lease && *lease && (*lease)->size() > copied_on_the_loop;
        ClientCore& where = *core;
        auto finish = [core, read = std::move(read), handler = std::move(handler),
                       lease = std::move(lease)]() mutable {
          auto outcome = outcome_of<Outcome>(*core, std::move(lease), read);
          handler(std::move(outcome));
        };
        copies_much ? where.post_copy(std::move(finish)) : finish();
      });
}

// Waits for the outcome of a call that `start` starts, given the handler for it and who waits.
template <class Outcome, class Start>
Result<Outcome> wait_for(const ClientCore& core, const Start& start) try {
  if (auto usable = core.check_caller(true); !usable) {
    return tl::unexpected(std::move(usable).error());
  }
  Waiter<Result<Outcome>> waiter;
  start(waiter.handler(), waiter);
  return waiter.wait();
} catch (const std::bad_alloc&) {  // it was not begun
  return tl::unexpected(no_memory());
}

Result<PutOutcome> blocking_put(ClientCore& core, const PutItem& item) {
  return wait_for<PutOutcome>(core, [&](auto handler, WaitingThread& waiting) {
    start_put(core, item, core.put_deadline(), std::move(handler), &waiting);
  });
}

// Reads with the caller's own thread.
template <class Outcome, class Read>
Result<Outcome> blocking_get(ClientCore& core, std::string_view key, const ReadOptions& options,
                             const Read& read) {
  auto lease = wait_for<std::optional<Lease>>(core, [&](auto handler, WaitingThread& waiting) {
    core.acquire(key, options, core.read_deadline(options), std::move(handler), &waiting);
  });
  if (core.is_forked()) return tl::unexpected(std::move(lease).error());
  return outcome_of<Outcome>(core, std::move(lease), read);
}

// What `count` calls that are not begun come to.
template <class Outcome>
auto all_fail(std::size_t count) {
  return [count](const Error& error) {
    return std::vector<Result<Outcome>>(count, tl::unexpected(error));
  };
}

template <class Outcome>
auto fails() {
  return [](const Error& error) -> Result<Outcome> { return tl::unexpected(error); };
}

// Begins a call by `start`, whose handler hands on to the caller's, where the caller wants it. What
// cannot be begun has the outcome that `failed` makes of the error.
template <class Outcome, class Failed, class Start>
Call begin(const std::shared_ptr<ClientCore>& core, Handler<Outcome> handler, const Failed& failed,
           const Start& start) {
  if (auto usable = core->check_caller(false); !usable) {
    core->deliver<Outcome>(handler, failed(usable.error()));
    return {};
  }
  std::shared_ptr<Handler<Outcome>> kept;
  try {
    kept = std::make_shared<Handler<Outcome>>(std::move(handler));
    return start(Handler<Outcome>(
        [core, kept](Outcome outcome) { core->deliver(*kept, std::move(outcome)); }));
  } catch (const std::bad_alloc&) {  // it was not begun
    core->deliver<Outcome>(kept ? *kept : handler, failed(no_memory()));
    return {};
  }
}

}  // namespace

Result<Client> Client::create(ClientOptions options) try {
  if (!options.logger) options.logger = base::stderr_sink("hyperpod.client");
  const auto warnings = normalise(options);
  if (!warnings) return tl::unexpected(warnings.error());
  for (const std::string& warning : *warnings) {
    log(*options.logger, base::LogLevel::warn, "{}", warning);
  }
  auto addresses = parse_addresses(options, process_environment());
  if (!addresses) return tl::unexpected(std::move(addresses).error());
  auto core = ClientCore::create(std::move(options), *std::move(addresses));
  if (!core) return tl::unexpected(std::move(core).error());
  return Client(*std::move(core));
} catch (const std::bad_alloc&) {
  return tl::unexpected(no_memory());
}

Client::Client(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}
Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  if (this == &other) return *this;
  Client ends(std::move(*this));
  core_ = std::move(other.core_);
  return *this;
}

Client::~Client() {
  if (!core_) return;
  if (core_->is_forked()) {
    keep_forever(std::move(core_));
  } else {
    core_->close();
  }
}

Result<PutOutcome> Client::put(std::string_view key, std::span<const std::byte> object) {
  return blocking_put(*core_, {key, object});
}

Result<PutOutcome> Client::put_chunk(std::string_view key, const ChunkLayout& layout,
                                     std::span<const std::byte> payload) {
  return blocking_put(*core_, {key, payload, layout});
}

Result<GetOutcome> Client::get(std::string_view key, std::span<std::byte> buffer,
                               const ReadOptions& read) {
  return blocking_get<GetOutcome>(*core_, key, read, reader_into(key, buffer));
}

Result<ObjectOutcome> Client::get(std::string_view key, const ReadOptions& read) {
  return blocking_get<ObjectOutcome>(*core_, key, read, read_object);
}

Result<ChunkOutcome> Client::get_chunk(std::string_view key, std::span<std::byte> payload,
                                       const ChunkLayout& expected, const ReadOptions& read) {
  return blocking_get<ChunkOutcome>(*core_, key, read, [&](const Lease& lease) {
    return read_chunk(lease, key, payload, expected, has_header(*core_));
  });
}

Result<std::optional<Lease>> Client::acquire(std::string_view key, const ReadOptions& read) {
  return wait_for<std::optional<Lease>>(*core_, [&](auto handler, WaitingThread& waiting) {
    core_->acquire(key, read, core_->read_deadline(read), std::move(handler), &waiting);
  });
}

Result<bool> Client::exists(std::string_view key, const ReadOptions& read) {
  return wait_for<bool>(*core_, [&](auto handler, WaitingThread& waiting) {
    core_->exists(key, read, core_->read_deadline(read), std::move(handler), &waiting);
  });
}

std::vector<Result<GetOutcome>> Client::batched_get(std::span<const GetItem> items,
                                                    const ReadOptions& read) {
  std::vector<Result<GetOutcome>> outcomes(items.size());
  if (auto usable = core_->check_caller(true); !usable) {
    for (auto& outcome : outcomes) outcome = tl::unexpected(usable.error());
    return outcomes;
  }
  // Leases as they come in; this thread reads through them.
  struct Arrived {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<LeaseResult> leases;
    std::vector<std::size_t> which;  // of them have arrived, in order
  } arrived;
  arrived.leases.resize(items.size());
  arrived.which.reserve(items.size());
  const auto arrives = [&arrived](std::size_t index, LeaseResult lease) {
    std::lock_guard lock(arrived.mutex);
    arrived.leases[index] = std::move(lease);
    arrived.which.push_back(index);
    arrived.changed.notify_one();
  };
  const TimePoint deadline = core_->read_deadline(read);
  std::size_t begun = 0;
  const auto start_next = [&] {
    const std::size_t index = begun++;
    try {
      core_->acquire(items[index].key, read, deadline,
                     [&arrives, index](LeaseResult lease) { arrives(index, std::move(lease)); });
    } catch (const std::bad_alloc&) {  // it was not begun
      arrives(index, tl::unexpected(no_memory()));
    }
  };
  const std::size_t window =
      std::min<std::size_t>(items.size(), core_->options().max_concurrent_requests);
  while (begun < window) start_next();
  for (std::size_t ended = 0; ended < items.size(); ++ended) {
    std::unique_lock lock(arrived.mutex);
    arrived.changed.wait(lock, [&] { return arrived.which.size() > ended; });
    const std::size_t index = arrived.which[ended];
    lock.unlock();
    outcomes[index] = outcome_of<GetOutcome>(*core_, std::move(arrived.leases[index]),
                                             reader_into(items[index].key, items[index].buffer));
    if (begun < items.size()) start_next();
  }
  HYPERPOD_POINT("batch.outcomes", outcomes);
  return outcomes;
}

std::vector<Result<PutOutcome>> Client::batched_put(std::span<const PutItem> items) {
  std::vector<Result<PutOutcome>> outcomes(items.size());
  if (auto usable = core_->check_caller(true); !usable) {
    return all_fail<PutOutcome>(items.size())(usable.error());
  }
  try {
    Waiter<std::vector<Result<PutOutcome>>> waiter;
    const auto batch = std::make_shared<Batch<PutOutcome>>(
        core_, items.size(),
        [core = core_, items, deadline = core_->put_deadline()](std::size_t i,
                                                                Handler<Result<PutOutcome>> each) {
          return start_put(*core, items[i], deadline, std::move(each));
        },
        waiter.handler());
    batch->begin();
    return waiter.wait();
  } catch (const std::bad_alloc&) {  // it was not begun
    for (auto& outcome : outcomes) outcome = tl::unexpected(no_memory());
    return outcomes;
  }
}

ContainsOutcome Client::batched_contains(std::span<const std::string> keys,
                                         const ReadOptions& read) try {
  if (auto usable = core_->check_caller(true); !usable) return {0, usable.error()};
  Waiter<ContainsOutcome> waiter;
  std::make_shared<PrefixLookup>(core_, std::vector(keys.begin(), keys.end()), read,
                                 core_->read_deadline(read), waiter.handler())
      ->begin();
  return waiter.wait();
} catch (const std::bad_alloc&) {  // it was not begun
  return {0, no_memory()};
}

Call Client::async_put(std::string_view key, std::span<const std::byte> object,
                       Handler<Result<PutOutcome>> handler) {
  return begin(core_, std::move(handler), fails<PutOutcome>(), [&](auto each) {
    return start_put(*core_, {key, object}, core_->put_deadline(), std::move(each));
  });
}

Call Client::async_get(std::string_view key, std::span<std::byte> buffer,
                       Handler<Result<GetOutcome>> handler, const ReadOptions& read) {
  return begin(core_, std::move(handler), fails<GetOutcome>(), [&](auto each) {
    return start_get<GetOutcome>(
        core_, key, read, core_->read_deadline(read),
        [key = std::string(key), buffer](const Lease& lease) {
          return reader_into(key, buffer)(lease);
        },
        std::move(each));
  });
}

Call Client::async_get(std::string_view key, Handler<Result<ObjectOutcome>> handler,
                       const ReadOptions& read) {
  return begin(core_, std::move(handler), fails<ObjectOutcome>(), [&](auto each) {
    return start_get<ObjectOutcome>(core_, key, read, core_->read_deadline(read), read_object,
                                    std::move(each));
  });
}

Call Client::async_acquire(std::string_view key, Handler<Result<std::optional<Lease>>> handler,
                           const ReadOptions& read) {
  return begin(core_, std::move(handler), fails<std::optional<Lease>>(), [&](auto each) {
    return core_->acquire(key, read, core_->read_deadline(read), std::move(each));
  });
}

Call Client::async_exists(std::string_view key, Handler<Result<bool>> handler,
                          const ReadOptions& read) {
  return begin(core_, std::move(handler), fails<bool>(), [&](auto each) {
    return Call(core_->exists(key, read, core_->read_deadline(read), std::move(each)));
  });
}

Call Client::async_batched_get(std::vector<GetItem> items,
                               Handler<std::vector<Result<GetOutcome>>> handler,
                               const ReadOptions& read) {
  const std::size_t count = items.size();
  return begin(core_, std::move(handler), all_fail<GetOutcome>(count), [&](auto all) {
    const auto batch = std::make_shared<Batch<GetOutcome>>(
        core_, count,
        [core = core_, items = std::move(items), read, deadline = core_->read_deadline(read)](
            std::size_t i, Handler<Result<GetOutcome>> each) {
          return start_get<GetOutcome>(core, items[i].key, read, deadline,
                                       reader_into(items[i].key, items[i].buffer), std::move(each));
        },
        std::move(all));
    batch->begin();
    return Call(batch);
  });
}

Call Client::async_batched_put(std::vector<PutItem> items,
                               Handler<std::vector<Result<PutOutcome>>> handler) {
  const std::size_t count = items.size();
  return begin(core_, std::move(handler), all_fail<PutOutcome>(count), [&](auto all) {
    const auto batch = std::make_shared<Batch<PutOutcome>>(
        core_, count,
        [core = core_, items = std::move(items), deadline = core_->put_deadline()](
            std::size_t i, Handler<Result<PutOutcome>> each) {
          return start_put(*core, items[i], deadline, std::move(each));
        },
        std::move(all));
    batch->begin();
    return Call(batch);
  });
}

Call Client::async_batched_contains(std::vector<std::string> keys, Handler<ContainsOutcome> handler,
                                    const ReadOptions& read) {
  const auto failed = [](const Error& error) { return ContainsOutcome{0, error}; };
  return begin(core_, std::move(handler), failed, [&](auto told) {
    const auto lookup = std::make_shared<PrefixLookup>(core_, std::move(keys), read,
                                                       core_->read_deadline(read), std::move(told));
    lookup->begin();
    return Call(lookup);
  });
}

void Client::close() {
  if (!core_->is_forked()) core_->close();
}
Statistics Client::statistics() const { return core_->statistics(); }
std::vector<DaemonState> Client::daemons() const { return core_->daemons(); }

}  // namespace hyperpod::client
