// SPDX-License-Identifier: Apache-2.0
// The requests of one connection to the admin port, strictly in order.
//
// The event loop's thread only reads, decides who may do what, and writes: everything that asks
// the emulator runs in a lane, so that a slow call, a long poll or a page holds up nobody's health
// check.
#pragma once

#include <boost/intrusive/list.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "admin/access.h"
#include "admin/endpoints.h"
#include "admin/lane.h"
#include "admin/message.h"
#include "http/connection.h"
#include "http/request_head.h"

namespace hyperpod::emulator::admin {

class Session;

/// What the sessions of one port share. Outlives them; the event loop's thread alone uses it,
/// except as its members say.
struct Port {
  template <class Tag>
  using Hook =
      boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  template <class Tag>
  using List = boost::intrusive::list<Session, boost::intrusive::base_hook<Hook<Tag>>,
                                      boost::intrusive::constant_time_size<false>>;
  struct UnservedTag;
  struct ListenerTag;

  Port(const Access& who, Endpoints& routes);

  const Access& access;
  Endpoints& endpoints;
  Limits limits;
  http::PortCounters counters;
  /// Whose request has not come whole, or whose response is being sent: the first of them make
  /// room when there are too many connections. Those that the emulator is busy for are not there.
  List<UnservedTag> unserved;
  /// Whom a signal is to wake.
  List<ListenerTag> listeners;
  /// Requests that wait, and bodies that come piece by piece. There may be `most_waiting`, so that
  /// others always find room.
  std::size_t waiting = 0;
  /// Called when the first listener comes.
  std::function<void()> listened{};

  static constexpr std::size_t most_connections = 512;
  static constexpr std::size_t most_waiting = 256;

  /// Wakes those who wait for `signal`.
  void raise(Signal signal);
};

class Session final : public http::Connection,
                      public Port::Hook<Port::UnservedTag>,
                      public Port::Hook<Port::ListenerTag> {
 public:
  /// `reads` runs what only looks, `changes` what changes something.
  Session(Port& port, http::Worker& worker, Lane& reads, Lane& changes,
          std::unique_ptr<http::Transport> transport);
  ~Session() override;

  Signal listens_for() const { return listens_for_; }
  void signalled();

 private:
  using Unserved = Port::Hook<Port::UnservedTag>;
  using Listener = Port::Hook<Port::ListenerTag>;
  class Deadline;

  /// One of the places for what waits, while it lives and if there was one.
  class Slot {
   public:
    explicit Slot(Port& port);
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    bool taken() const { return taken_; }

   private:
    Port& port_;
    const bool taken_;
  };

  http::Awaitable<void> serve() override;
  http::Awaitable<bool> serve_next();
  http::Awaitable<std::optional<Refusal>> read_request();
  http::Awaitable<std::optional<Refusal>> read_head();
  std::optional<Refusal> take_head(std::string_view head);
  std::optional<Refusal> take_target(std::string_view target);
  std::optional<Refusal> admit();
  http::Awaitable<std::optional<Refusal>> read_body();
  http::Awaitable<std::optional<Refusal>> read_counted();
  http::Awaitable<std::optional<Refusal>> read_chunked();
  http::Awaitable<Response> respond();
  http::Awaitable<Response> await_response(Response pending);
  void listen_for(Signal signal);
  void stop_listening();
  http::Awaitable<void> send(Response response);
  http::Awaitable<void> send_pieces(Response& response);

  Port& port_;
  Lane& reads_;
  Lane& changes_;

  // Of the request under way.
  Request request_;
  Provenance provenance_;
  Endpoints::Match match_;
  std::optional<std::uint64_t> content_length_;
  bool chunked_ = false;
  bool expects_continue_ = false;
  bool http_1_0_ = false;
  bool head_only_ = false;
  bool keep_alive_ = true;

  std::optional<Slot> slot_;
  Signal listens_for_ = Signal::journal;
  bool signalled_ = false;
};

}  // namespace hyperpod::emulator::admin
