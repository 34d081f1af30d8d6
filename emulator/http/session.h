// The requests of one connection: each is read, met by a fault or served, answered and journalled,
// strictly in order.
#pragma once

#include <spdlog/logger.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/engine.h"
#include "http/answer.h"
#include "http/connection.h"
#include "http/request_head.h"
#include "http/request_target.h"
#include "hyperpod/emulator/faults.h"
#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator {

/// What every session of a server shares. Outlives them.
struct Service {
  Engine& engine;
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
  void meet(const FiredFault& fault) { greeting_ = fault; }

 private:
  enum class BodyEnd {
    complete,
    malformed,
    unread,  ///< Given up: more was to be discarded than is worth it.
    cut,     ///< The peer went away.
  };
  struct Hold;
  class Sink;

  Awaitable<void> serve() override;
  void hurry() override;

  Awaitable<bool> serve_next();
  Awaitable<tl::expected<RequestHead, Answer>> read_head();
  Awaitable<Answer> answer(const RequestHead& head);
  Awaitable<Answer> put(const RequestHead& head, const Route& route);
  Awaitable<Answer> acquire(const Route& route);
  Awaitable<std::optional<LeaseGrant>> hold(const Route& route, const GrantTwist& twist);
  Answer release(const Route& route);
  Answer refused(PutRefusal why) const;
  void hold_decided(std::optional<LeaseGrant> grant);

  Awaitable<BodyEnd> receive_body(const RequestHead& head, Sink& sink);
  Awaitable<BodyEnd> receive_counted(std::uint64_t length, Sink& sink);
  Awaitable<BodyEnd> receive_chunked(Sink& sink);
  Awaitable<std::uint64_t> receive_into(Sink& sink, std::uint64_t at_most);
  Awaitable<void> discard_body(const RequestHead& head);

  std::optional<FiredFault> fault_for(const Route& route);
  const Effects& effects() const;
  GrantTwist twist() const;
  Awaitable<Answer> answer_instead(const RequestHead& head);
  Awaitable<void> fall_silent(bool watches);
  Awaitable<void> deliver(const Answer& answer, WireForm form);

  void begin(const RequestHead& head);
  void record(int status);
  void log(const Answer& answer) const;

  Service& service_;
  const Behaviour& behaviour_;
  const std::uint64_t number_;
  std::optional<FiredFault> greeting_;

  // Of the request under way.
  std::optional<FiredFault> fault_;
  std::unique_ptr<Hold> hold_;
  std::string request_line_;  // for the log: views into the input do not last
  std::string out_;
  JournalEntry entry_;
  bool granted_ = false;
  bool recorded_ = false;
  bool keep_alive_ = true;
  bool reset_by_fault_ = false;
};

}  // namespace hyperpod::emulator
