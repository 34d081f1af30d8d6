// SPDX-License-Identifier: Apache-2.0
#include "transport/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "points.h"
#include "waiter.h"

namespace hyperpod::client::transport {
namespace {

// After so many bytes of a body other connections get their turn.
constexpr std::uint64_t burst_bytes = 1 << 20;

// A smaller body is sent before another thread would have been woken.
constexpr std::uint64_t least_handed_over = 512 << 10;

// Of a body that is streamed, at once: what the processor's caches hold.
constexpr std::size_t streamed_at_once = 256 << 10;

std::string_view text_of(HttpRequest::Method method) {
  switch (method) {
    case HttpRequest::Method::put:
      return "PUT";
    case HttpRequest::Method::get:
      return "GET";
    case HttpRequest::Method::del:
      return "DELETE";
    case HttpRequest::Method::post:
      break;
  }
  return "POST";
}

// What LMCache's clients send (PUT-04), unless the request says otherwise.
void write_head(const HttpRequest& request, std::string_view path_prefix, std::string_view host,
                std::string& head) {
  std::string_view agent = request.user_agent;
  HYPERPOD_POINT("send.user_agent", agent);
  head.clear();
  head.append(text_of(request.method)).append(" ").append(path_prefix).append(request.target);
  head.append(" HTTP/1.1\r\nHost: ").append(host).append("\r\nUser-Agent: ").append(agent);
  head.append("\r\nAccept: */*\r\nAccept-Encoding: ");
  head.append(request.sink != nullptr ? "identity\r\n" : "gzip, deflate\r\n");
  head.append(request.more_headers);
  if (request.method != HttpRequest::Method::get) {
    head.append("Content-Length: ").append(std::to_string(request.body_bytes())).append("\r\n");
  }
  if (request.method == HttpRequest::Method::put) {
    head.append("Content-Type: application/octet-stream\r\n");
  }
  HYPERPOD_POINT("send.head", head, request);
  head.append("\r\n");
}

}  // namespace

// The buffer is written before it is read. NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
Connection::Connection(Loop& loop, const DaemonAddress& address, TlsContext* tls,
                       IdleClosed idle_closed)
    : loop_(loop),
      address_(address),
      host_header_(address.host_header()),
      tls_context_(tls),
      idle_closed_(std::move(idle_closed)) {}

Connection::~Connection() { close(); }

// Runs one of the steps; running out of memory in it ends the exchange, or the idle connection.
template <class Function>
void Connection::guarded(Function function) try {
  function();
} catch (const std::bad_alloc&) {
  listener_ != nullptr ? fail({ErrorCode::out_of_resources, {}}) : end_idle();
}

void Connection::exchange(HttpRequest request, Listener& listener) {
  request_ = std::move(request);
  listener_ = &listener;
  last_moved_ = loop_.now();
  guarded([this] { begin(); });
}

void Connection::begin() {
  if (state_ == State::idle && has_unasked_bytes()) {
    // The loop has not come round to closing it.
    TransportFailure failure{ErrorCode::unreachable, "closed the connection without a response"};
    failure.stale = true;
    close();
    return end(tl::unexpected(std::move(failure)));
  }
  if (state_ == State::idle) return begin_sending();
  state_ = State::connecting;
  const auto connector = std::make_shared<Connector>(loop_, address_.host, address_.port);
  connector_ = connector;
  connector->start([this](tl::expected<Socket, TransportFailure> socket) {
    guarded([&] { connected(std::move(socket)); });
  });
}

// False if it has failed.
bool Connection::watch() {
  is_watched_ = loop_.watch(socket_.get(), *this);
  if (is_watched_) return true;
  const int error = errno;
  if (listener_ == nullptr) {
    close();
  } else {
    fail({ErrorCode::out_of_resources,
          std::string("cannot be waited for: ") + std::strerror(error)});
  }
  return false;
}

void Connection::connected(tl::expected<Socket, TransportFailure> socket) {
  const auto self = shared_from_this();  // who is told of a failure may let go of it
  connector_.reset();
  if (!socket) return fail(std::move(socket).error());
  IoError ignored;
  socket_.reset(socket->release(ignored));
  if (!watch()) return;
  if (tls_context_ != nullptr) {
    state_ = State::handshaking;
    tls_ = std::make_unique<TlsStream>(*tls_context_);
    continue_handshake();
  } else {
    begin_sending();
  }
}

void Connection::continue_handshake() {
  auto done = tls_->handshake();
  send_encrypted();
  if (!done) return fail(std::move(done).error());
  if (*done) begin_sending();
}

void Connection::prepare_exchange() {
  state_ = State::exchanging;
  write_head(request_, address_.path_prefix, host_header_, head_);
  head_left_ = head_.size();
  body_sent_ = 0;
  cannot_send_ = false;
  leftover_ = false;
  // Nobody reads what stands in the response to a put.
  parser_.restart(request_.method != HttpRequest::Method::put, request_.sink);
  source_begin_ = 0;
  source_bytes_ = 0;
}

void Connection::begin_sending() {
  prepare_exchange();
  if (request_.sink != nullptr) sink_buffer_.resize(streamed_at_once);
  if (!hand_over()) send_more();
  HYPERPOD_POINT("connection.sent", *this);
}

// False if this thread is to send.
bool Connection::hand_over() {
  if (request_.waiting == nullptr || tls_ || request_.source != nullptr ||
      request_.body_bytes() < least_handed_over) {
    return false;
  }
  std::uint64_t piece = request_.piece_bytes;
  HYPERPOD_POINT("send.piece_bytes", piece);
  const auto transfer = std::make_shared<BodyTransfer>(
      socket_.get(), std::as_bytes(std::span(head_)), request_.header, request_.payload, piece);
  request_.waiting->hand_over([self = shared_from_this(), transfer, owner = request_.owner] {
    transfer->run();
    HYPERPOD_POINT("transfer.ended");
    self->loop_.insist([self] { self->guarded([&] { self->transfer_ended(); }); });
  });
  has_responded_ = false;
  transfer_ = transfer;
  return true;
}

void Connection::transfer_ended() {
  const auto transfer = std::exchange(transfer_, nullptr);
  if (state_ == State::closed) return close_socket(socket_);
  const auto of_head = std::min<std::uint64_t>(transfer->sent(), head_left_);
  head_left_ -= of_head;
  body_sent_ = transfer->sent() - of_head;
  last_moved_ = loop_.now();
  if (!has_sent_all()) cannot_send_ = true;  // what has been received tells why
  if (has_responded_) complete();
}

// Sends until all is sent, or the socket takes no more.
void Connection::send_more() {
  std::uint64_t burst = 0;
  const std::uint64_t body = request_.body_bytes();
  while (state_ == State::exchanging && !cannot_send_ && !waiting_to_write_) {
    if (!send_encrypted()) return;
    if (head_left_ == 0 && body_sent_ == body) return;
    if (burst >= burst_bytes) {
      waiting_to_write_ = true;
      asio::post(loop_.context(), [self = shared_from_this()] {
        self->waiting_to_write_ = false;
        self->guarded([&] { self->send_more(); });
      });
      return;
    }
    std::uint64_t room = request_.piece_bytes;
    HYPERPOD_POINT("send.piece_bytes", room);
    std::uint64_t offset = body_sent_;
    auto payload = request_.payload;
    if (request_.source != nullptr) {
      if (!read_source()) return fail({ErrorCode::cancelled, "was given up"});
      payload = std::span(source_buffer_).first(source_bytes_);
      offset -= source_begin_;
      room = payload.size();
    }
    // The head goes out with the first piece of the body.
    const Pieces pieces = gather(std::as_bytes(std::span(head_)).last(head_left_), request_.header,
                                 payload, offset, room);
    const bool more_follows = head_left_ + body - body_sent_ > pieces.bytes;
    const TimePoint before = loop_.now();
    const ssize_t sent = send(pieces, more_follows);
    if (sent < 0) return;
    const auto from_head = std::min<std::uint64_t>(head_left_, static_cast<std::uint64_t>(sent));
    head_left_ -= from_head;
    body_sent_ += static_cast<std::uint64_t>(sent) - from_head;
    burst += static_cast<std::uint64_t>(sent);
    last_moved_ = before;
  }
}

// Sees to it that source_buffer_ holds what comes next.
bool Connection::read_source() {
  if (body_sent_ < source_begin_ + source_bytes_ || body_sent_ == request_.body_bytes()) {
    return true;
  }
  source_buffer_.resize(streamed_at_once);
  source_begin_ = body_sent_;
  source_bytes_ = static_cast<std::size_t>(
      std::min<std::uint64_t>(streamed_at_once, request_.body_bytes() - body_sent_));
  const bool read =
      request_.source->read(source_begin_, std::span(source_buffer_).first(source_bytes_));
  last_moved_ = loop_.now_again();
  return read;
}

// How many bytes were taken; -1 if none can be now, or ever.
ssize_t Connection::send(const Pieces& pieces, bool more_follows) {
  if (tls_) {
    ssize_t total = 0;
    for (std::size_t i = 0; i < pieces.count; ++i) {
      if (!tls_->write(pieces.spans[i])) {
        cannot_send_ = true;
        return -1;
      }
      total += static_cast<ssize_t>(pieces.spans[i].size());
    }
    return total;
  }
  const ssize_t sent = send_pieces(socket_.get(), pieces, more_follows);
  if (sent >= 0) return sent;
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    wait_until_writable();
  } else {
    cannot_send_ = true;  // what has been received tells why
  }
  return -1;
}

// Sends what TLS has to say. False if some of it remains.
bool Connection::send_encrypted() {
  if (!tls_) return true;
  while (!tls_->pending().empty() && !cannot_send_) {
    const auto pending = tls_->pending();
    const ssize_t sent =
        ::send(socket_.get(), pending.data(), pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      tls_->consume(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_until_writable();
      return false;
    } else if (errno != EINTR) {
      cannot_send_ = true;
    }
  }
  return !cannot_send_;
}

void Connection::wait_until_writable() { waiting_to_write_ = socket_is_full_ = true; }

void Connection::ready(std::uint32_t events) {
  const auto self = shared_from_this();
  guarded([&] {
    if ((events & EPOLLOUT) != 0 && std::exchange(socket_is_full_, false)) {
      waiting_to_write_ = false;
      send_encrypted();
      send_more();
    }
    const bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (ends || (events & EPOLLIN) != 0) receive(ends);
  });
}

// Reads what has come. Less than was asked for is all of it, unless it `ends`: of that the loop
// tells no second time. Whoever it is lent to when a response has ended reads on.
void Connection::receive(bool ends) {
  constexpr int turn = 16;
  for (int reads = 0; is_watched_ && state_ != State::closed; ++reads) {
    if (reads == turn) {  // others have their turn
      asio::post(loop_.context(), [self = shared_from_this(), ends] {
        self->guarded([&] { self->receive(ends); });
      });
      return;
    }
    const bool streams = state_ == State::exchanging && request_.sink != nullptr;
    const std::span<char> buffer = streams ? std::span<char>(sink_buffer_) : std::span(buffer_);
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count <= 0) return peer_closed();
    received({buffer.data(), static_cast<std::size_t>(count)});
    if (static_cast<std::size_t>(count) < buffer.size() && !ends) return;
  }
}

void Connection::received(std::string_view bytes) {
  HYPERPOD_POINT("connection.received", *this);
  if (!tls_) return take(bytes);
  tls_->feed(bytes);
  if (state_ == State::handshaking) {
    continue_handshake();
    if (state_ != State::exchanging) return;
  }
  while (state_ != State::closed) {
    const auto decrypted = tls_->read();
    if (!decrypted) return peer_closed();
    if (decrypted->empty()) break;
    take(*decrypted);
  }
  if (state_ != State::closed) send_encrypted();
}

void Connection::take(std::string_view bytes) {
  if (state_ == State::idle) {  // what nobody asked for
    bool closes = true;
    HYPERPOD_POINT("connection.idle_bytes", closes, bytes, *this);
    if (closes) end_idle();
    return;
  }
  leftover_ = parser_.feed(bytes) < bytes.size();
  last_moved_ = request_.sink != nullptr ? loop_.now_again() : loop_.now();
  judge_response();
}

void Connection::judge_response() {
  switch (parser_.state()) {
    case ResponseParser::State::incomplete:
      return;
    case ResponseParser::State::complete:
      return complete();
    case ResponseParser::State::malformed:
      return fail({ErrorCode::malformed_response,
                   "sent what is not an HTTP response, or broke off in the middle of one"});
    case ResponseParser::State::beyond_bounds:
      return fail({ErrorCode::malformed_response, "sent a response beyond all bounds"});
    case ResponseParser::State::given_up:
      return fail({ErrorCode::cancelled, "was given up"});
  }
}

// Whether something has come that would be taken for the response to a request sent now. Of TLS's
// own records nobody can say that.
bool Connection::has_unasked_bytes() {
  if (tls_) return false;
  char byte;
  bool unasked = ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK | MSG_NOSIGNAL) >= 0;
  HYPERPOD_POINT("connection.unasked", unasked);
  return unasked;
}

void Connection::peer_closed() {
  switch (state_) {
    case State::idle:
      return end_idle();
    case State::handshaking:
      return fail({ErrorCode::unreachable,
                   "does not complete a TLS handshake; write http:// if it speaks plain HTTP"});
    case State::exchanging:
      break;
    default:
      return;
  }
  if (!parser_.has_begun()) {
    TransportFailure failure{ErrorCode::unreachable, "closed the connection without a response"};
    failure.stale = is_reused();
    return fail(std::move(failure));
  }
  // Whoever can cut TLS off must not be able to shorten a body.
  if (!tls_ || tls_->peer_said_goodbye()) parser_.end_of_stream();
  cannot_send_ = true;
  if (parser_.state() == ResponseParser::State::complete) return complete();
  fail({ErrorCode::malformed_response,
        "sent what is not an HTTP response, or broke off in the middle of one"});
}

// REQUIRES: the response is complete.
bool Connection::is_reusable() const {
  bool reusable =
      parser_.keeps_alive() && has_sent_all() && !leftover_ && !cannot_send_ && !waiting_to_write_;
  HYPERPOD_POINT("connection.reusable", reusable);
  return reusable;
}

void Connection::complete() {
  if (transfer_ && !transfer_->stop()) {
    has_responded_ = true;  // transfer_ended() goes on
    return;
  }
  const bool early = !has_sent_all();
  if (tls_ && tls_->has_more()) leftover_ = true;
  const bool reusable = is_reusable();
  HttpResponse response = parser_.take();
  if (early && response.status == 200) {
    return fail({ErrorCode::malformed_response, "claims to have stored a body before it was sent"});
  }
  ++completed_;
  if (reusable) {
    state_ = State::idle;
  } else {
    close();
  }
  end(std::move(response));
}

void Connection::fail(TransportFailure failure) {
  if (listener_ == nullptr) return;
  failure.body = parser_.take_body();
  bool closes = true;
  HYPERPOD_POINT("connection.failed", closes, failure);
  closes || transfer_ ? close() : static_cast<void>(state_ = State::idle);
  end(tl::unexpected(std::move(failure)));
}

void Connection::end(HttpOutcome&& outcome) {
  request_.owner.reset();
  std::exchange(listener_, nullptr)->exchange_ended(std::move(outcome));
}

void Connection::end_idle() {
  const auto self = shared_from_this();
  close();
  idle_closed_(*this);
}

bool Connection::lend() {
  if (state_ != State::idle || tls_) return false;
  if (!was_lent_) {
    // The loop asks for MSG_DONTWAIT each time; who borrows it waits in recv().
    constexpr timeval limit{.tv_sec = 0, .tv_usec = std::chrono::microseconds(patience).count()};
    const int flags = ::fcntl(socket_.get(), F_GETFL);
    was_lent_ = flags >= 0 && ::fcntl(socket_.get(), F_SETFL, flags & ~O_NONBLOCK) == 0 &&
                ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
    if (!was_lent_) return false;
  }
  loop_.unwatch(socket_.get(), *this);
  is_watched_ = false;
  return true;
}

std::optional<HttpResponse> Connection::exchange_here(HttpRequest request) noexcept try {
  request_ = std::move(request);
  if (has_unasked_bytes()) return std::nullopt;
  prepare_exchange();
  const auto head = std::as_bytes(std::span(head_));
  const ssize_t sent = send_pieces(socket_.get(), gather(head, {}, {}, 0, 0), false);
  if (sent > 0) head_left_ -= static_cast<std::uint64_t>(sent);
  if (head_left_ > 0) return std::nullopt;
  const auto give_up = std::chrono::steady_clock::now() + patience;
  do {
    const ssize_t count = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
    if (count <= 0) return std::nullopt;  // nothing yet, or an end that the loop finds again
    const std::string_view bytes{buffer_.data(), static_cast<std::size_t>(count)};
    leftover_ = parser_.feed(bytes) < bytes.size();
    if (parser_.state() == ResponseParser::State::complete) {
      if (is_reusable()) state_ = State::idle;  // else take_back() closes it
      ++completed_;
      return parser_.take();
    }
  } while (parser_.state() == ResponseParser::State::incomplete &&
           std::chrono::steady_clock::now() < give_up);
  return std::nullopt;
} catch (const std::bad_alloc&) {
  ran_out_ = true;
  return std::nullopt;
}

void Connection::take_back(Listener* listener) {
  const auto self = shared_from_this();  // who is told of a failure may let go of it
  listener_ = listener;
  last_moved_ = loop_.now();
  guarded([&] {
    if (state_ == State::closed || (listener == nullptr && state_ != State::idle)) return close();
    if (!watch()) return;
    if (listener == nullptr) return;
    if (std::exchange(ran_out_, false)) return fail({ErrorCode::out_of_resources, {}});
    if (state_ == State::idle) return begin();  // nothing has been sent
    send_more();
    judge_response();
  });
}

bool Connection::half_close() {
  if (!has_sent_all() || tls_ || ::shutdown(socket_.get(), SHUT_WR) != 0) return false;
  cannot_send_ = true;  // another request neither
  return true;
}

void Connection::close() {
  if (state_ == State::closed) return;
  if (connector_) connector_->cancel();
  if (socket_) {
    if (std::exchange(is_watched_, false)) loop_.unwatch(socket_.get(), *this);
    if (tls_ && state_ != State::handshaking && !cannot_send_) {
      tls_->close();
      const auto goodbye = tls_->pending();
      ::send(socket_.get(), goodbye.data(), goodbye.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (transfer_) {
      transfer_->stop();
      ::shutdown(socket_.get(), SHUT_RDWR);  // transfer_ended() closes it
    } else {
      close_socket(socket_);
    }
  }
  state_ = State::closed;
}

}  // namespace hyperpod::client::transport
