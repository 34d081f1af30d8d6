// SPDX-License-Identifier: Apache-2.0
// One keep-alive connection to a daemon: connects, sends a request, reads its response.
//
// Sending and receiving go on side by side: a response that comes before all of a body has been
// sent is read, and the rest of the body is not sent. An idle connection is read from as well, so
// that it is known at once when the daemon closes it, or sends what nobody asked for.
//
// Belongs to the loop's thread, except while it is lent to another (lend()). A large body is sent
// by the thread that waits for the outcome, where there is one and no TLS (body_transfer.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "address.h"
#include "hyperpod/base/file_descriptor.h"
#include "transport/body_transfer.h"
#include "transport/connector.h"
#include "transport/http.h"
#include "transport/loop.h"
#include "transport/response_parser.h"
#include "transport/tls.h"

namespace hyperpod::client::transport {

// Nobody deletes it as a SocketWatcher. NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class Connection final : public std::enable_shared_from_this<Connection>,
                         private base::SocketWatcher {
 public:
  /// Told when an exchange is over; if it cannot even be begun, before exchange() returns.
  class Listener {
   public:
    /// The connection is idle by then, or closed.
    virtual void exchange_ended(HttpOutcome&& outcome) = 0;

   protected:
    ~Listener() = default;
  };
  /// Told that a connection was idle and has been closed, by its peer or for what its peer sent.
  using IdleClosed = std::function<void(Connection&)>;

  /// `tls` is null for plain HTTP. What is passed must outlive the connection until it is closed.
  Connection(Loop& loop, const DaemonAddress& address, TlsContext* tls, IdleClosed idle_closed);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// Sends `request` and reads the response, connecting first if need be. REQUIRES: idle or new;
  /// the request's spans stay until the exchange has ended.
  void exchange(HttpRequest request, Listener& listener);

  /// Gives the idle connection to another thread, which is then the only one to use it, by
  /// exchange_here() only, until take_back(). False if it must stay: not idle, or with TLS.
  bool lend();
  /// Sends `request` and reads the response with the calling thread. None if that does not go
  /// smoothly and soon: then take_back() goes on with it. REQUIRES: lent, and idle; the request has
  /// no body.
  std::optional<HttpResponse> exchange_here(HttpRequest request) noexcept;
  /// The longest that exchange_here() waits for a byte, and the whole of it takes little more.
  static constexpr std::chrono::milliseconds patience{4};
  /// The loop has it again, and goes on with the exchange that exchange_here() has left, for
  /// `listener`; null if it has left none.
  void take_back(Listener* listener);

  /// Ends the exchange under way with `failure`, and closes.
  void fail(TransportFailure failure);

  /// Closes. An exchange under way is over, and its listener is told nothing.
  void close();

  /// Ends what this side has to say: a daemon that holds the request drops it, and if it has
  /// responded by then, the response is still read. False if the request has not been sent whole,
  /// or the end cannot be told so.
  bool half_close();

  bool is_closed() const { return state_ == State::closed; }
  bool is_idle() const { return state_ == State::idle; }
  /// Whether the request under way waits for the host's addresses.
  bool is_resolving() const { return connector_ && connector_->is_resolving(); }
  /// Whether it has served a request before the one that is under way.
  bool is_reused() const { return completed_ > 0; }
  /// Whether all of the request under way is in the kernel's hands.
  bool has_sent_all() const {
    return state_ == State::exchanging && !transfer_ && head_left_ == 0 &&
           body_sent_ == request_.body_bytes();
  }

  /// When bytes of the exchange under way were last sent or received, or a source or sink returned.
  TimePoint last_moved() const { return last_moved_; }

  /// Takes bytes of a response as if they had come from the daemon.
  void take(std::string_view bytes);

 private:
  enum class State { fresh, connecting, handshaking, exchanging, idle, closed };

  template <class Function>
  void guarded(Function function);
  void begin();
  bool watch();
  void connected(tl::expected<Socket, TransportFailure> socket);
  void continue_handshake();
  void prepare_exchange();
  void begin_sending();
  bool hand_over();
  void transfer_ended();
  void send_more();
  bool read_source();
  void wait_until_writable();
  bool send_encrypted();
  ssize_t send(const Pieces& pieces, bool more_follows);
  void ready(std::uint32_t events) override;
  void receive(bool ends);
  void received(std::string_view bytes);
  void judge_response();
  bool is_reusable() const;
  bool has_unasked_bytes();
  void peer_closed();
  void complete();
  void end_idle();
  void end(HttpOutcome&& outcome);

  Loop& loop_;
  const DaemonAddress& address_;
  const std::string host_header_;
  TlsContext* const tls_context_;
  const IdleClosed idle_closed_;
  State state_ = State::fresh;
  std::shared_ptr<Connector> connector_;
  base::FileDescriptor socket_;
  bool is_watched_ = false;
  bool was_lent_ = false;
  bool ran_out_ = false;  // of memory, while it was lent
  std::unique_ptr<TlsStream> tls_;
  std::uint64_t completed_ = 0;  // exchanges

  HttpRequest request_;
  Listener* listener_ = nullptr;  // while an exchange is under way
  std::string head_;
  std::uint64_t head_left_ = 0;  // of head_, still to be sent
  std::uint64_t body_sent_ = 0;
  bool waiting_to_write_ = false;
  bool socket_is_full_ = false;             // which is what it waits for
  bool cannot_send_ = false;                // the peer takes nothing more; it may have responded
  std::shared_ptr<BodyTransfer> transfer_;  // under way; uses the socket, even of a closed one
  bool has_responded_ = false;              // as the last of the transfer may be on its way
  ResponseParser parser_;
  bool leftover_ = false;  // bytes came behind the response
  std::array<char, 8192> buffer_;
  // Of requests with a source or a sink; empty until there is one.
  std::vector<std::byte> source_buffer_;
  std::uint64_t source_begin_ = 0;  // offset in the body of what source_buffer_ holds
  std::size_t source_bytes_ = 0;
  std::vector<char> sink_buffer_;
  TimePoint last_moved_{};
};

}  // namespace hyperpod::client::transport
