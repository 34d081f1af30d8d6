// SPDX-License-Identifier: Apache-2.0
// The requests of one connection: each is read, met by a fault or served, answered and journalled,
// strictly in order.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/engine.h"
#include "http/body_sink.h"
#include "http/connection.h"
#include "http/request_head.h"
#include "http/request_target.h"
#include "http/response.h"
#include "hyperpod/emulator/faults.h"
#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::http {

/// What every session of a server shares. Outlives them.
struct Service {
  core::Engine& engine;
  checkpoint::Store& checkpoints;
  const Options& options;
  FaultPlan& faults;
  Journal& journal;
  /// Does what a fault's incident says. Any thread; does not wait for connections.
  std::function<void(const Effects&)> cause;
  /// Called when a connection has ended.
  std::function<void()> closed;
  PortCounters& counters;
};

class Session final : public Connection {
 public:
  /// `number` counts connections from 1.
  Session(Service& service, Worker& worker, std::unique_ptr<Transport> transport,
          std::uint64_t number);
  ~Session() override;

  /// A fault that meets this connection before it has said anything.
  void meet(const FiredFault& fault) { connect_fault_ = std::make_unique<FiredFault>(fault); }

 private:
  enum class BodyEnd {
    complete,
    malformed,
    unread,  ///< Given up: more was to be discarded than is worth it.
    cut,     ///< The peer went away.
  };
  struct Wait;
  /// A request and its response.
  struct Exchange {
    Route route;
    JournalEntry entry;
    std::string_view head;  // for the journal: where it was received, or in kept_head
    std::string kept_head;
    std::optional<FiredFault> fault;
    core::Engine::Changes changes;  // that it made at once
    TimePoint body_begun;
    std::string body;  // memory for that of the response
    std::string out;
    bool granted = false;
    bool recorded = false;
    bool counted = false;  // as in flight
  };
  Exchange& own_exchange();

  Awaitable<void> serve() override;
  Served serve_now(std::string_view bytes) override;
  void end_waits() override;

  Awaitable<tl::expected<RequestHead, Response>> read_head();
  using Routed = tl::expected<void, RouteRefusal>;
  /// The response to what needs no waiting, as nearly all leases and releases; nothing for the
  /// rest, which is respond()'s. What is asked for stands in exchange_->route.
  std::optional<Response> respond_now(const RequestHead& head, const Routed& routed);
  Awaitable<Response> respond(const RequestHead& head, const Routed& routed);
  Awaitable<Response> put(const RequestHead& head, const Route& route);
  /// Whether the body of a PUT that is announced by `head` has come, of which `begun` bytes came
  /// with the head, and put_now() may be called.
  bool has_come(const RequestHead& head, std::size_t begun);
  /// As put(), where has_come().
  Response put_now(const RequestHead& head, const Route& route, std::string_view begun);
  /// The response to a PUT whose body is in its room.
  Response committed(core::Put& put);
  /// The response to a lease request; none is a miss.
  Response leased(const std::optional<core::LeaseGrant>& lease);
  Awaitable<std::optional<core::LeaseGrant>> wait_for_key(const Route& route,
                                                          const core::GrantFault& fault);
  Response release(const Route& route, core::Engine::Changes* changes);
  // Of the checkpoint API; session_checkpoint.cc.
  Awaitable<Response> checkpoint(const RequestHead& head, const Route& route);
  Awaitable<Response> put_shard(const RequestHead& head, const Route& route);
  Response get_shard(const Route& route) const;
  Response create_namespace(const Route& route) const;
  Response refused(checkpoint::Refusal why) const;
  Awaitable<void> write_shard(const checkpoint::Shard& shard, std::uint64_t at_most);
  Response refused(core::PutRefusal why) const;
  void wait_decided(std::optional<core::LeaseGrant> grant, const std::string& bucket);

  // What PUTs of objects and of shards have in common. Each gives the response that ends the
  // request, or nothing where it goes on.
  /// Refuses a body that may not come in the form that the head announces; it is to be discarded.
  std::optional<Response> refused_form(const RequestHead& head);
  /// Makes `refused` the response before the body has come: one that is too_large() is not waited
  /// for.
  Awaitable<Response> refuse_body(const RequestHead& head, Response refused);
  /// Whether the body is announced to be larger than the whole segment.
  bool too_large(const RequestHead& head) const;
  /// Receives the whole body into `sink`.
  Awaitable<std::optional<Response>> receive_whole(const RequestHead& head, BodySink& sink);

  Awaitable<BodyEnd> receive_body(const RequestHead& head, BodySink& sink);
  Awaitable<BodyEnd> receive_counted(std::uint64_t length, BodySink& sink);
  Awaitable<BodyEnd> receive_chunked(BodySink& sink);
  Awaitable<std::uint64_t> receive_into(BodySink& sink, std::uint64_t at_most);
  /// So many bytes of a body are read until a fault ends that.
  std::uint64_t left_to_read() const;
  /// What that fault does.
  Awaitable<void> end_reading();
  Awaitable<void> discard_body(const RequestHead& head);
  /// Whether a body that began at `begun` comes too slowly, or has taken too long.
  bool too_slow(TimePoint begun) const;

  std::optional<FiredFault> fault_for(const Route& route);
  const Effects& effects() const;
  core::GrantFault grant_fault() const;
  Awaitable<Response> respond_with_fault(const RequestHead& head, const RespondWith& wanted);
  Awaitable<void> stop_responding(bool watches);
  void reset_by_fault();
  Awaitable<void> send_response(const Response& response, WireForm form);
  /// Sends what can be sent without waiting, and returns the rest, of exchange_->out.
  std::string_view send_now(const Response& response, const WireForm& form);

  void begin(Exchange& exchange, const RequestHead& head);
  void end();
  /// Notes for the journal what the request is.
  void note(const Route& route);
  void record(int status, std::string_view response_head);
  void log(const Response& response) const;

  Service& service_;
  const Behaviour& behaviour_;
  const std::uint64_t number_;
  const std::string peer_;
  std::unique_ptr<FiredFault> connect_fault_;

  Exchange* exchange_ = nullptr;  // the one under way
  // Of the requests that serve() serves; most connections never have one.
  std::unique_ptr<Exchange> own_exchange_;
  std::unique_ptr<Wait> wait_;
  std::string_view head_in_input_;  // until more is read
  std::string_view unsent_;         // of own_exchange_, for serve() to send
  bool keep_alive_ = true;
  bool reset_by_fault_ = false;
};

}  // namespace hyperpod::emulator::http
