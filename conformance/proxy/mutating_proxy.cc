// SPDX-License-Identifier: Apache-2.0
#include "proxy/mutating_proxy.h"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <thread>
#include <utility>  // before Asio, which forgets it

namespace hyperpod::conformance::proxy {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t longest_head = 256 * 1024;
// Beyond this much unsent, the other side is not read.
constexpr std::size_t most_pending = 4u << 20;
// Of a body that was cut short; some checks announce exabytes.
constexpr std::uint64_t most_completed = 1u << 30;

/// One direction's unsent bytes.
struct Outgoing {
  std::string pending;
  std::string sending;
  bool end = false;  ///< Nothing follows what is pending.
};

}  // namespace

class MutatingProxy::Server {
 public:
  Server(std::uint16_t daemon_port, Mutation told);
  ~Server();

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  /// Whether another request may go to the daemon now. If so it counts until finished().
  bool take_turn();
  /// To be called with a turn taken when one is free.
  void queue(std::function<void()> start) { waiting_.push_back(std::move(start)); }
  void finished();
  void end();

  Mutation mutation;
  tcp::endpoint daemon;

 private:
  void accept();

  std::uint64_t accepted_ = 0;
  std::vector<std::weak_ptr<Link>> links_;  ///< Only where end() may be called.
  std::size_t under_way_ = 0;
  std::deque<std::function<void()>> waiting_;

 public:
  asio::io_context io{1};  // goes before what its handlers use, and after its thread

 private:
  tcp::acceptor acceptor_;
  std::jthread thread_;
};

/// One client's connection and its own to the daemon. It owns itself through its handlers.
class MutatingProxy::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(Server& server, tcp::socket client, std::uint64_t number)
      : server_(server),
        mutation(server.mutation),
        client_(std::move(client)),
        daemon_(server.io),
        hold_back_(server.io),
        number_(number) {}

  ~Link() {
    while (counted_-- > 0) server_.finished();
  }

  void cut() {
    if (dead_) return;
    dead_ = true;
    if (mutation.abandoned && (body_left_ > 0 || !entries_.empty()) && !entries_.empty()) {
      mutation.abandoned(entries_.back().request);
    }
    error_code ignored;
    for (tcp::socket* socket : {&client_, &daemon_}) {
      socket->set_option(asio::socket_base::linger(true, 0), ignored);
      socket->close(ignored);
    }
    hold_back_.cancel();
  }

  void start() {
    error_code error;
    client_.set_option(tcp::no_delay(true), error);
    daemon_.async_connect(server_.daemon, [self = shared_from_this()](error_code failed) {
      if (failed) return self->cut();
      error_code ignored;
      self->daemon_.set_option(tcp::no_delay(true), ignored);
      self->read_client();
      self->read_daemon();
    });
  }

 private:
  /// A request whose answer is still to be sent.
  struct Entry {
    ReceivedRequest request;
    std::optional<ResponseMessage> own;  ///< Not the daemon's to give.
  };

  // Client to daemon.

  void read_client() {
    if (dead_ || client_ended_ || reading_client_ || to_daemon_.pending.size() > most_pending ||
        waiting_turn_)
      return;
    reading_client_ = true;
    client_.async_read_some(asio::buffer(from_client_),
                            [self = shared_from_this()](error_code error, std::size_t got) {
                              self->reading_client_ = false;
                              if (self->dead_) return;
                              if (error) return self->client_gone(error);
                              self->client_bytes_ += got;
                              if (self->mutation.bytes_per_connection != 0 &&
                                  self->client_bytes_ > self->mutation.bytes_per_connection) {
                                return self->cut();
                              }
                              self->input_.append(self->from_client_.data(), got);
                              self->process_input();
                              self->read_client();
                            });
  }

  void client_gone(error_code error) {
    client_ended_ = true;
    if (mutation.end_cut_chunks && chunked_) {
      to_daemon_.pending += "0\r\n\r\n";
      return send_to_daemon();
    }
    if (mutation.completes_cut_body && body_left_ > 0 && body_left_ <= most_completed &&
        mutation.completes_cut_body(body_at_, body_left_)) {
      to_daemon_.pending.append(std::exchange(body_left_, 0), '\0');
      return send_to_daemon();
    }
    if (mutation.keep_cut_connections) return;
    if (error != asio::error::eof) return cut();
    to_daemon_.end = true;
    send_to_daemon();
  }

  void process_input() {
    while (!input_.empty() && !dead_ && !waiting_turn_) {
      if (taken_over()) return send_to_client();
      if (opaque_) {
        to_daemon_.pending += std::exchange(input_, {});
      } else if (body_left_ > 0) {
        pass_body();
      } else if (!pass_head()) {
        break;
      }
    }
    send_to_daemon();
  }

  /// TLS is passed on unread. Whether the mutation about plain HTTP took the connection over.
  bool taken_over() {
    if (!std::exchange(fresh_, false)) return false;
    opaque_ = input_[0] == 0x16;
    if (opaque_ || !mutation.grant_plain_on_tls) return false;
    to_client_.pending += ResponseMessage::of(200, "{}").text();
    to_client_.end = true;
    return true;
  }

  void pass_body() {
    const std::size_t size = std::min<std::uint64_t>(body_left_, input_.size());
    if (!swallow_) {
      if (mutation.body) mutation.body(body_of_, body_at_, {input_.data(), size});
      to_daemon_.pending.append(input_, 0, size);
    }
    body_at_ += size;
    body_left_ -= size;
    input_.erase(0, size);
    if (body_left_ == 0 && mutation.drop_pipelined) input_.clear();
  }

  /// Whether a head was there to be passed on.
  bool pass_head() {
    auto taken = take_request_head(input_);
    if (!taken) return no_head();
    const bool chunked = taken->first.header("Transfer-Encoding").has_value();
    ReceivedRequest request{std::move(taken->first), number_, now()};
    const std::string raw = input_.substr(0, taken->second);
    input_.erase(0, taken->second);
    if (mutation.ends_at && mutation.ends_at(request.head)) {
      server_.end();
      return false;
    }
    if (mutation.requests_per_connection != 0 && ++requests_ > mutation.requests_per_connection) {
      cut();
      return false;
    }
    if (server_.take_turn()) {
      ++counted_;
      pass_request(request, raw, chunked);
      return true;
    }
    waiting_turn_ = true;
    server_.queue([self = shared_from_this(), request, raw, chunked] {
      ++self->counted_;
      self->waiting_turn_ = false;
      if (self->dead_) return;
      self->pass_request(request, raw, chunked);
      self->process_input();
      self->read_client();
    });
    return false;
  }

  /// The input does not begin with a head, or with none that is complete.
  bool no_head() {
    const bool ended = input_.find("\r\n\r\n") != std::string::npos;
    if (!ended && mutation.whole_heads_only) {
      to_client_.pending += ResponseMessage::of(400).text();
      to_client_.end = true;
      send_to_client();
      input_.clear();
      return false;
    }
    if (!ended && input_.size() <= longest_head) return false;
    if (mutation.mute_at_nonsense) {
      input_.clear();
      return false;
    }
    opaque_ = true;
    return true;
  }

  void pass_request(const ReceivedRequest& request, const std::string& raw, bool chunked) {
    RequestHead head = request.head;
    body_of_ = request;
    body_at_ = 0;
    body_left_ = chunked ? 0 : head.content_length();
    std::optional<ResponseMessage> own;
    if (mutation.request) own = mutation.request(head, request);
    swallow_ = own.has_value();
    if (own) body_left_ = std::min(body_left_, mutation.most_read_of_refused);
    // Untouched, a head passes byte for byte.
    if (!own) to_daemon_.pending += head.text() == request.head.text() ? raw : head.text();
    opaque_ = chunked_ = chunked && !own;
    if (!opaque_) entries_.push_back({request, std::move(own)});
    if (mutation.drop_pipelined && body_left_ == 0) input_.clear();
    process_output();
  }

  void send_to_daemon() {
    if (dead_ || sending_to_daemon_) return;
    if (to_daemon_.pending.empty()) {
      error_code ignored;
      if (to_daemon_.end) daemon_.shutdown(tcp::socket::shutdown_send, ignored);
      return;
    }
    sending_to_daemon_ = true;
    to_daemon_.sending = std::exchange(to_daemon_.pending, {});
    asio::async_write(daemon_, asio::buffer(to_daemon_.sending),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->sending_to_daemon_ = false;
                        // A daemon that no longer reads may still have a response under way.
                        if (error) self->to_daemon_ = {};
                        if (!error) self->send_to_daemon();
                        self->read_client();
                      });
  }

  // Daemon to client.

  void read_daemon() {
    if (dead_ || reading_daemon_ || to_client_.pending.size() > most_pending) return;
    reading_daemon_ = true;
    daemon_.async_read_some(asio::buffer(from_daemon_),
                            [self = shared_from_this()](error_code error, std::size_t got) {
                              self->reading_daemon_ = false;
                              if (self->dead_) return;
                              if (error == asio::error::eof) {
                                self->to_client_.pending += std::exchange(self->output_, {});
                                self->to_client_.end = true;
                                return self->send_to_client();
                              }
                              if (error) return self->cut();
                              self->output_.append(self->from_daemon_.data(), got);
                              self->process_output();
                              self->read_daemon();
                            });
  }

  void process_output() {
    while (!dead_ && !holding_back_) {
      if (!entries_.empty() && entries_.front().own) {
        const Entry entry = std::move(entries_.front());
        entries_.pop_front();
        send_answer(entry.request, *entry.own, entry.own->text(mutation.version));
        continue;
      }
      if (output_.empty()) break;
      auto taken = take_response(output_);
      if (entries_.empty() || !taken) {
        if (!opaque_ && !entries_.empty()) break;  // more is to come
        to_client_.pending += std::exchange(output_, {});
        break;
      }
      const std::string raw = output_.substr(0, taken->second);
      output_.erase(0, taken->second);
      if (taken->first.status < 200) {
        to_client_.pending += raw;
        continue;
      }
      pass_answer(std::move(taken->first), raw);
    }
    send_to_client();
  }

  void pass_answer(ResponseMessage response, const std::string& raw) {
    const ReceivedRequest request = std::move(entries_.front().request);
    entries_.pop_front();
    const std::string before = response.text();
    if (mutation.response) mutation.response(request, response);
    // Untouched, a response passes byte for byte.
    const bool touched = response.text() != before || mutation.version != "HTTP/1.1";
    const std::string bytes = touched ? response.text(mutation.version) : raw;
    const auto wait =
        mutation.delay ? mutation.delay(request, response) : std::chrono::milliseconds(0);
    if (wait.count() == 0) return send_answer(request, response, bytes);
    holding_back_ = true;
    hold_back_.expires_after(wait);
    hold_back_.async_wait([self = shared_from_this(), request, response, bytes](error_code error) {
      self->holding_back_ = false;
      if (error || self->dead_) return;
      self->send_answer(request, response, bytes);
      self->process_output();
    });
  }

  void send_answer(const ReceivedRequest& request, const ResponseMessage& response,
                   const std::string& bytes) {
    to_client_.pending += bytes;
    const bool miss =
        request.head.is_acquire() && (response.status == 404 || response.status == 504);
    if (miss && mutation.close_after_miss) to_client_.end = true;
    send_to_client();
    if (mutation.answered) mutation.answered(request, response);
    if (counted_ == 0) return;
    --counted_;
    server_.finished();
  }

  void send_to_client() {
    if (dead_ || sending_to_client_) return;
    if (to_client_.pending.empty()) {
      error_code ignored;
      if (to_client_.end) {
        client_.shutdown(tcp::socket::shutdown_both, ignored);
        client_.close(ignored);
        daemon_.close(ignored);
        dead_ = true;
      }
      return;
    }
    sending_to_client_ = true;
    to_client_.sending = std::exchange(to_client_.pending, {});
    asio::async_write(client_, asio::buffer(to_client_.sending),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->sending_to_client_ = false;
                        if (error && !self->mutation.keep_cut_connections) return self->cut();
                        self->send_to_client();
                        self->read_daemon();
                      });
  }

  Server& server_;
  const Mutation& mutation;
  tcp::socket client_;
  tcp::socket daemon_;
  asio::steady_timer hold_back_;
  std::uint64_t number_;

  std::array<char, 64 * 1024> from_client_;
  std::array<char, 16 * 1024> from_daemon_;
  std::string input_;   ///< From the client, not passed on yet.
  std::string output_;  ///< From the daemon, not passed on yet.
  Outgoing to_daemon_;
  Outgoing to_client_;
  std::deque<Entry> entries_;

  ReceivedRequest body_of_;
  std::uint64_t body_left_ = 0;
  std::uint64_t body_at_ = 0;
  std::uint64_t client_bytes_ = 0;
  std::size_t requests_ = 0;
  std::size_t counted_ = 0;  ///< Requests of ours that count as under way.
  bool swallow_ = false;
  bool fresh_ = true;  ///< Nothing has arrived yet.
  bool opaque_ = false;
  bool chunked_ = false;  ///< It is for a chunked body.
  bool dead_ = false;
  bool client_ended_ = false;
  bool reading_client_ = false;
  bool reading_daemon_ = false;
  bool sending_to_daemon_ = false;
  bool sending_to_client_ = false;
  bool holding_back_ = false;
  bool waiting_turn_ = false;
};

MutatingProxy::Server::Server(std::uint16_t daemon_port, Mutation told)
    : mutation(std::move(told)),
      daemon(asio::ip::address_v4::loopback(), daemon_port),
      acceptor_(io) {
  const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
  acceptor_.open(any.protocol());
  acceptor_.bind(any);
  acceptor_.listen(4096);
  accept();
  thread_ = std::jthread([this] { io.run(); });
}

MutatingProxy::Server::~Server() {
  io.stop();
  thread_.join();
  // What waits holds links, and a link may not outlive the io_context of its sockets.
  const auto waiting = std::exchange(waiting_, {});
}

bool MutatingProxy::Server::take_turn() {
  if (mutation.requests_at_once != 0 && under_way_ >= mutation.requests_at_once) return false;
  ++under_way_;
  return true;
}

void MutatingProxy::Server::finished() {
  --under_way_;
  if (waiting_.empty()) return;
  ++under_way_;
  asio::post(io, std::move(waiting_.front()));
  waiting_.pop_front();
}

void MutatingProxy::Server::accept() {
  if (mutation.connections_ever != 0 && accepted_ >= mutation.connections_ever) return;
  acceptor_.async_accept([this](error_code error, tcp::socket client) {
    if (error) return;
    const auto link = std::make_shared<Link>(*this, std::move(client), ++accepted_);
    if (mutation.ends_at) links_.push_back(link);
    link->start();
    accept();
  });
}

void MutatingProxy::Server::end() {
  error_code ignored;
  acceptor_.close(ignored);
  for (const auto& one : links_)
    if (const auto link = one.lock()) link->cut();
}

MutatingProxy::MutatingProxy(std::uint16_t port, Mutation mutation)
    : server_(std::make_unique<Server>(port, std::move(mutation))) {}
MutatingProxy::~MutatingProxy() = default;

std::uint16_t MutatingProxy::port() const { return server_->port(); }

void MutatingProxy::redirect(std::uint16_t port) {
  asio::post(server_->io, [this, port] { server_->daemon.port(port); });
}

void MutatingProxy::later(std::chrono::milliseconds delay, std::function<void()> action) {
  auto timer = std::make_shared<asio::steady_timer>(server_->io, delay);
  timer->async_wait([timer, action = std::move(action)](error_code error) {
    if (!error) action();
  });
}

}  // namespace hyperpod::conformance::proxy
