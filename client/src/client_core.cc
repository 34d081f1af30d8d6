// SPDX-License-Identifier: Apache-2.0
#include "client_core.h"

#include <algorithm>
#include <new>
#include <semaphore>
#include <utility>

#include "body_json.h"
#include "fork.h"
#include "hyperpod/base/text.h"
#include "lease_impl.h"
#include "log.h"
#include "no_memory.h"
#include "points.h"
#include "transport/target.h"

namespace hyperpod::client {
namespace {

using leases::Grant;
using std::chrono::milliseconds;
using transport::RequestClass;

Error empty_key() { return {ErrorCode::invalid_argument, "a key must not be empty"}; }

milliseconds wait_of(const ReadOptions& read, const ClientOptions& options) {
  const auto wait = read.wait.value_or(options.lease_wait_timeout.value_or(options.timeout));
  return std::clamp<milliseconds>(wait, milliseconds::zero(), std::chrono::hours{24 * 365});
}

std::vector<std::unique_ptr<memory::Segment>> segments_of(
    const std::vector<DaemonAddress>& addresses) {
  std::vector<std::unique_ptr<memory::Segment>> segments;
  segments.reserve(addresses.size());
  for (const DaemonAddress& address : addresses) {
    segments.push_back(address.segment ? std::make_unique<memory::Segment>(*address.segment)
                                       : nullptr);
  }
  return segments;
}

}  // namespace

Result<std::shared_ptr<ClientCore>> ClientCore::create(ClientOptions options,
                                                       std::vector<DaemonAddress> addresses) {
  if (!options.clock) options.clock = std::make_shared<RealClock>();
  if (!options.logger) options.logger = base::stderr_sink("hyperpod.client");
  auto loop = transport::Loop::start(options.clock);
  if (!loop) return tl::unexpected(std::move(loop).error());
  return std::shared_ptr<ClientCore>(
      new ClientCore(std::move(options), std::move(addresses), *std::move(loop)));
}

ClientCore::ClientCore(ClientOptions options, std::vector<DaemonAddress> addresses,
                       std::shared_ptr<transport::Loop> loop)
    : options_(std::move(options)),
      clock_(options_.clock),
      logger_(options_.logger),
      fork_generation_(fork_generation()),
      segments_(segments_of(addresses)),
      loop_(std::move(loop)),
      transport_(*loop_, options_, clock_, std::move(addresses), *logger_),
      leases_(*loop_, transport_, options_, segments_, counters_, *logger_),
      copiers_(options_.copy_threads),
      helpers_(options_.copy_threads - 1),
      drain_limit_(*loop_, [this] {
        transport_.abort_all();
        continue_close();
      }) {}

ClientCore::~ClientCore() {
  close();
  // On the loop's thread nothing can be waited for.
  while (!transport_.is_idle()) transport_.abort_all();
  loop_->stop();
}

bool ClientCore::is_forked() const noexcept {
  std::uint32_t generation = fork_generation();
  HYPERPOD_POINT("fork.generation", generation, fork_generation_);
  return generation != fork_generation_;
}

Result<void> ClientCore::check_caller(bool blocks) const {
  if (is_forked()) {
    return tl::unexpected(
        Error{ErrorCode::forked,
              "this client was made before fork() and serves the parent process only; make "
              "another one in the child"});
  }
  if (blocks && on_loop()) {
    return tl::unexpected(Error{ErrorCode::invalid_argument,
                                "a blocking call on the client's I/O thread would wait for itself; "
                                "use its async_ form, or set ClientOptions::executor"});
  }
  return {};
}

TimePoint ClientCore::read_deadline(const ReadOptions& read) const {
  milliseconds margin = leases::wait_margin;
  HYPERPOD_POINT("lease.margin", margin);
  return now() + wait_of(read, options_) + margin;
}

Statistics ClientCore::statistics() const {
  Statistics statistics;
  counters_.add_to(statistics);
  transport_.add_to(statistics);
  return statistics;
}

class ClientCore::PutRequest final : public transport::Exchange, public Cancellable {
 public:
  PutRequest(std::shared_ptr<ClientCore> core, std::string_view key, std::vector<std::byte> header,
             std::span<const std::byte> payload, TimePoint deadline,
             Handler<Result<PutOutcome>> handler, WaitingThread* waiting)
      : Exchange(core->transport_, core->transport_.host_of(key), RequestClass::put, deadline),
        core_(std::move(core)),
        key_(key),
        header_(std::move(header)),
        payload_(payload),
        handler_(std::move(handler)),
        waiting_(waiting) {}

  void start() {
    if (key_.empty()) return end(tl::unexpected(empty_key()));
    core_->transport_.start(shared_from_this());
  }

  void cancel() override try {
    const auto core = weak_core_.lock();
    if (!core) return;
    core->post([core, self = std::static_pointer_cast<PutRequest>(shared_from_this())] {
      if (self->core_) core->transport_.cancel(*self);
    });
  } catch (const std::bad_alloc&) {  // it ends by its deadline
  }

 private:
  Result<transport::HttpRequest> request(TimePoint) override {
    transport::HttpRequest request;
    request.method = transport::HttpRequest::Method::put;
    request.target = transport::object_target(core_->options_.bucket, key_);
    request.header = header_;
    request.payload = payload_;
    request.piece_bytes = core_->options_.put_stream_chunk_bytes;
    request.waiting = waiting_;
    request.owner = shared_from_this();
    return request;
  }

  void complete(transport::Outcome outcome) override {
    if (!outcome) return end(tl::unexpected(std::move(outcome.error().error)));
    int status = outcome->status;
    HYPERPOD_POINT("put.status", status);
    if (status == 200) return end(PutOutcome::stored);
    if (status == 409) return end(PutOutcome::already_stored);
    end(tl::unexpected(Error{status == 413 ? ErrorCode::too_large : ErrorCode::refused,
                             fmt::format("{} refused to store {} ({} bytes): status {}{}{}",
                                         core_->transport_.url(host()), base::quoted(key_),
                                         header_.size() + payload_.size(), status, meaning(status),
                                         told_in(outcome->body)),
                             status}));
  }

  static std::string_view meaning(int status) {
    if (status == 413) return ", it is larger than the daemon's whole cache";
    if (status == 507) return ", the daemon has no room that leases do not pin";
    return "";
  }

  void end(Result<PutOutcome> outcome) {
    const auto core = std::move(core_);
    core->loop_->retire(core);
    ++(outcome ? core->counters_.put_success : core->counters_.put_failure);
    handler_(std::move(outcome));
  }

  std::shared_ptr<ClientCore> core_;  // null once the call has ended
  const std::weak_ptr<ClientCore> weak_core_ = core_;
  const std::string key_;
  const std::vector<std::byte> header_;
  const std::span<const std::byte> payload_;
  Handler<Result<PutOutcome>> handler_;
  WaitingThread* const waiting_;
};

Call ClientCore::put(std::string_view key, std::vector<std::byte> header,
                     std::span<const std::byte> payload, TimePoint deadline,
                     Handler<Result<PutOutcome>> handler, WaitingThread* waiting) {
  auto request = std::make_shared<PutRequest>(shared_from_this(), key, std::move(header), payload,
                                              deadline, std::move(handler), waiting);
  post([request] { request->start(); });
  return Call(request);
}

std::shared_ptr<leases::Leases::Request> ClientCore::lease(leases::Wanted wanted,
                                                           const ReadOptions& read,
                                                           TimePoint deadline,
                                                           leases::Leases::Granted granted,
                                                           WaitingThread* waiting) {
  if (wanted.key.empty()) wanted.error = empty_key();
  wanted.request_class = read.prefetch ? RequestClass::prefetch : RequestClass::lease;
  wanted.wait = wait_of(read, options_);
  const auto self = shared_from_this();
  auto request = leases_.make_request(std::move(wanted), deadline, std::move(granted), self);
  if (waiting != nullptr && leases_.try_here(request, self)) return request;
  post([this, request] { leases_.start(request); });
  return request;
}

Call ClientCore::acquire(std::string_view key, const ReadOptions& read, TimePoint deadline,
                         Handler<Result<std::optional<Lease>>> handler, WaitingThread* waiting) {
  leases::Wanted wanted;
  wanted.key = key;
  wanted.host = transport_.host_of(key);
  if (memory::Segment* const segment = segments_[wanted.host].get()) {
    auto mapping = segment->current();
    if (mapping) {
      wanted.mapping = *std::move(mapping);
    } else {
      wanted.error = std::move(mapping).error();
    }
  } else {
    wanted.error =
        Error{ErrorCode::segment_missing,
              "nothing can be read without a segment, and its name is None; name the daemon's with "
              "sagemaker_hyperpod_shared_memory_name"};
  }
  return Call(lease(
      std::move(wanted), read, deadline,
      [core = shared_from_this(),
       handler = std::move(handler)](Result<std::optional<Grant>> granted) mutable {
        using Leased = Result<std::optional<Lease>>;
        if (!granted) return handler(tl::unexpected(std::move(granted).error()));
        if (!*granted) return handler(Leased(std::nullopt));
        std::unique_ptr<Lease::Impl> impl;
        try {
          impl = std::make_unique<Lease::Impl>(core, **std::move(granted));
        } catch (const std::bad_alloc&) {  // which has moved nothing
          core->leases_.release(**granted, core);
          return handler(tl::unexpected(no_memory()));
        }
        handler(Leased(Lease(std::move(impl))));
      },
      waiting));
}

std::shared_ptr<leases::Leases::Request> ClientCore::exists(std::string_view key,
                                                            const ReadOptions& read,
                                                            TimePoint deadline,
                                                            Handler<Result<bool>> handler,
                                                            WaitingThread* waiting) {
  leases::Wanted wanted;
  wanted.key = key;
  wanted.host = transport_.host_of(key);
  return lease(
      std::move(wanted), read, deadline,
      [core = shared_from_this(),
       handler = std::move(handler)](Result<std::optional<Grant>> granted) mutable {
        if (!granted) return handler(tl::unexpected(std::move(granted).error()));
        const bool found = granted->has_value();
        if (found) core->leases_.release(**granted, core);
        handler(found);
      },
      waiting);
}

void ClientCore::release(const Grant& grant, leases::Leases::Released&& released,
                         WaitingThread* waiting) {
  // Whoever drops a lease often asks for the next at once, and waits for that.
  const auto order = released ? transport::Loop::Order::next : transport::Loop::Order::last;
  const auto self = shared_from_this();
  auto request = leases_.make_release(grant, put_deadline(), std::move(released), self);
  if (waiting != nullptr && leases_.try_here(request, self)) return;
  leases_.post(std::move(request), order);
}

void ClientCore::count_get(GetStatus status) {
  ++(status == GetStatus::hit ? counters_.get_success : counters_.get_failure);
  if (status == GetStatus::miss) ++counters_.get_miss;
}

Result<void> ClientCore::copy_granted(const Lease& lease, std::span<std::byte> destination,
                                      std::uint64_t offset) {
  if (auto usable = lease.impl_->check_time(); !usable) return usable;
  return lease.impl_->copy(destination, offset);
}

Result<bool> ClientCore::is_current(const Grant& grant) const {
  return segments_[grant.host]->is_current(*grant.mapping);
}

struct ClientCore::Closing {
  std::binary_semaphore closed{0};
  Closing* next = nullptr;
};

void ClientCore::close() {
  if (on_loop()) return begin_close(nullptr);
  Closing closing;
  // Behind the releases that have been posted: it waits for them.
  loop_->insist([this, &closing] { begin_close(&closing); }, transport::Loop::Order::last);
  closing.closed.acquire();
}

// What is under way ends first, then releases that failed are tried once more, then all
// connections are closed.
void ClientCore::begin_close(Closing* closing) {
  if (closing != nullptr) closing->next = std::exchange(closing_, closing);
  if (phase_ == Phase::open) {
    phase_ = Phase::draining;
    drain_limit_.arm(std::max(put_deadline(), read_deadline({})));
    transport_.on_idle([this] { continue_close(); });
    transport_.refuse_all_but_releases();
  }
  continue_close();
}

void ClientCore::continue_close() {
  if (phase_ == Phase::open || !transport_.is_idle()) return;
  if (phase_ == Phase::draining) {
    phase_ = Phase::flushing;
    drain_limit_.cancel();
    leases_.flush();
    if (!transport_.is_idle()) return;
  }
  if (phase_ == Phase::flushing) {
    phase_ = Phase::closed;
    transport_.close_connections();
    closed_ = true;
  }
  for (Closing* closing = std::exchange(closing_, nullptr); closing != nullptr;) {
    Closing* const next = closing->next;
    closing->closed.release();  // and it is gone
    closing = next;
  }
}

}  // namespace hyperpod::client
