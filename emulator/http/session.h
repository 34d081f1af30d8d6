// One connection of the data port: requests in, answers out, strictly in order.
//
// A session lives on one worker and is touched by that worker's thread only. It keeps itself alive
// while its coroutine runs.
#pragma once

#include <spdlog/logger.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "core/engine.h"
#include "http/answer.h"
#include "http/chunk_decoder.h"
#include "http/input_buffer.h"
#include "http/request_head.h"
#include "http/request_target.h"
#include "http/transport.h"
#include "http/worker.h"

namespace hyperpod::emulator {

/// What the data port counts; see Statistics. Any thread.
struct PortCounters {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> rejected{0};
  std::atomic<std::uint64_t> open{0};
  std::atomic<std::uint64_t> peak{0};
  std::atomic<std::uint64_t> accepted{0};
  /// Decisions of the engine whose answers are not on their way yet.
  std::atomic<std::uint64_t> unsettled{0};
};

/// What every session of a server shares. Outlives them.
struct Service {
  Engine& engine;
  const Behaviour& behaviour;
  const Limits& limits;
  spdlog::logger* logger;  ///< Null logs nothing.
  PortCounters& counters;
};

class Session final : public Managed, public Timer, public std::enable_shared_from_this<Session> {
 public:
  Session(Service& service, Worker& worker, std::unique_ptr<Transport> transport);
  ~Session() override;

  void start();
  void finish() override;

 private:
  enum class Phase { idle, busy, held };
  enum class BodyEnd {
    complete,
    malformed,
    unread,  ///< Given up: more was to be discarded than is worth it.
    cut,     ///< The peer went away.
  };
  struct Held;
  class Sink;

  void on_due() override;
  void close();

  Awaitable<void> run();
  Awaitable<bool> serve_next();
  Awaitable<tl::expected<RequestHead, Answer>> read_head();
  Awaitable<Answer> answer(const RequestHead& head);
  Awaitable<Answer> put(const RequestHead& head, const Route& route);
  Awaitable<Answer> acquire(const Route& route);
  Awaitable<std::optional<LeaseGrant>> hold(const Route& route);
  Answer release(const Route& route);

  Awaitable<bool> read_more();
  Awaitable<BodyEnd> receive_body(const RequestHead& head, Sink& sink);
  Awaitable<BodyEnd> receive_counted(std::uint64_t length, Sink& sink);
  void gather(bool on);
  Awaitable<BodyEnd> receive_chunked(Sink& sink);
  Awaitable<std::size_t> receive_into(Sink& sink, std::uint64_t at_most);
  Awaitable<void> discard_body(const RequestHead& head);
  Awaitable<void> send(const Answer& answer, WireForm form);
  Awaitable<void> linger();

  Awaitable<void> watch_peer();
  void hold_decided(std::optional<LeaseGrant> grant);
  Answer refused(PutRefusal why) const;
  void log(const Answer& answer) const;

  Service& service_;
  Worker& worker_;
  std::unique_ptr<Transport> transport_;
  InputBuffer in_;
  std::string out_;
  Phase phase_ = Phase::idle;
  std::string request_line_;        // for the log: views into the input do not last
  std::uint64_t read_in_turn_ = 0;  // bytes of a body read since others had their turn
  bool gathering_ = false;          // reads of the body wait for gather_bytes
  bool keep_alive_ = true;
  bool finishing_ = false;
  bool peer_gone_ = false;  // nothing can be sent or received any more
  bool watching_ = false;   // watch_peer has a read under way
  SystemTimer event_;       // cancelled to wake who waits for a hold's end or for watch_peer
  std::unique_ptr<Held> held_;
};

}  // namespace hyperpod::emulator
