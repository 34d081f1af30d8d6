#include "http_connection.h"

#include <pthread.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "deadline_stream.h"
#include "handshake_deadline.h"
#include "host_resolver.h"

namespace hyperpod::client {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr const char* user_agent = "LMCache-SageMaker-HyperPod/1.0";
constexpr std::uint64_t max_body = 64ull << 20;  // of an answer, unpacked

// Keeps SIGPIPE away from the thread while OpenSSL writes, for it can do so with write() only.
class SigpipeGuard {
 public:
  explicit SigpipeGuard(bool needed) : active_(needed) {
    if (!active_) return;
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;
  ~SigpipeGuard() {
    if (!active_) return;
    constexpr timespec at_once{};
    if (!was_pending_) sigtimedwait(&sigpipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  bool active_;
  bool was_pending_ = false;
  sigset_t sigpipe_{};
  sigset_t before_{};
};

// httplib's client for one scheme, made to connect and to transfer within an exchange's deadline.
template <class Base>
class DeadlineClient final : public Base {
 public:
  DeadlineClient(const std::string& host, int port, ExchangeState& state)
      : Base(host, port), state_(state) {
    if constexpr (is_tls) bound_handshakes(this->ssl_context(), state);
  }

 private:
  using Socket = httplib::ClientImpl::Socket;
  static constexpr bool is_tls = std::is_same_v<Base, httplib::SSLClient>;

  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override {
    state_.fresh = true;
    error = httplib::Error::Connection;
    if (!this->is_valid()) return false;
    const auto resolution = HostResolver::shared().resolve(this->host_, state_.deadline);
    if (!resolution) {
      state_.timed_out = true;
      return false;
    }
    for (const std::string& address : resolution->addresses) {
      const auto left = state_.deadline - SteadyClock::now();
      if (left <= SteadyClock::duration::zero()) break;
      // httplib counts in milliseconds, and 0 would not wait at all.
      this->set_connection_timeout(std::chrono::ceil<std::chrono::milliseconds>(left));
      this->set_hostname_addr_map({{this->host_, address}});
      if (!httplib::ClientImpl::create_and_connect_socket(socket, error)) continue;
      state_.handshaking = is_tls;
      return true;
    }
    state_.timed_out = SteadyClock::now() >= state_.deadline;
    return false;
  }

  bool process_socket(const Socket& socket,
                      std::function<bool(httplib::Stream&)> callback) override {
    state_.handshaking = false;
    if (!state_.fresh && is_stale(socket.sock)) {
      state_.stale = true;
      return false;
    }
    if constexpr (is_tls) {
      TlsStream stream(socket.sock, socket.ssl, state_);
      return run(stream, callback);
    } else {
      PlainStream stream(socket.sock, state_);
      return run(stream, callback);
    }
  }

  bool run(DeadlineStream& stream, const std::function<bool(httplib::Stream&)>& callback) {
    const bool complete = callback(stream);
    state_.leftover = stream.has_leftover();
    return complete;
  }

  ExchangeState& state_;
};

std::unique_ptr<httplib::ClientImpl> make_client(const DaemonAddress& address,
                                                 const TlsOptions& tls, ExchangeState& state) {
  if (!address.https) {
    return std::make_unique<DeadlineClient<httplib::ClientImpl>>(address.host, address.port, state);
  }
  auto client =
      std::make_unique<DeadlineClient<httplib::SSLClient>>(address.host, address.port, state);
  if (!tls.ca_file.empty()) client->set_ca_cert_path(tls.ca_file);
  client->enable_server_certificate_verification(tls.verify_server);
  return client;
}

// Hands the body out in pieces; httplib asks for the piece at `offset`.
bool write_piece(const HttpRequest& request, std::size_t offset, httplib::DataSink& sink,
                 ExchangeState& state) {
  const bool in_header = offset < request.header.size();
  const auto part = in_header ? request.header : request.payload;
  const auto rest = part.subspan(in_header ? offset : offset - request.header.size());
  const auto piece =
      rest.first(std::min<std::size_t>(rest.size(), in_header ? rest.size() : request.piece_bytes));
  state.more_follows = offset + piece.size() < request.header.size() + request.payload.size();
  return sink.write(reinterpret_cast<const char*>(piece.data()), piece.size());
}

}  // namespace

class HttpConnection::Peer {
 public:
  Peer(const DaemonAddress& address, const TlsOptions& tls)
      : client(make_client(address, tls, state)) {
    client->set_keep_alive(true);
    client->set_tcp_nodelay(true);
    client->set_url_encode(false);
    client->set_default_headers({{"Host", address.host_header()},
                                 {"User-Agent", user_agent},
                                 {"Accept", "*/*"},
                                 {"Accept-Encoding", "gzip, deflate"}});
  }

  TransportFailure failure(httplib::Error error) const {
    using httplib::Error;
    if (state.timed_out) return {ErrorCode::timed_out, "did not answer in time", {}};
    if (state.beyond_bounds) {
      return {ErrorCode::malformed_response, "sent an answer beyond all bounds", {}};
    }
    if (state.received > 0) {
      return {ErrorCode::malformed_response,
              "sent what is no HTTP answer, or broke off in the middle of one",
              {}};
    }
    switch (error) {
      case Error::SSLLoadingCerts:
        return {ErrorCode::unreachable, "cannot be verified: the CA file is unusable", {}};
      case Error::SSLServerVerification:
        return {ErrorCode::unreachable,
                "has a certificate that the CA file (or the system) does not vouch for",
                {}};
      case Error::SSLConnection:
        return {ErrorCode::unreachable, "does not complete a TLS handshake; is it HTTPS?", {}};
      case Error::Connection:
        return {ErrorCode::unreachable,
                "accepts no connection; is the daemon running, and the address right?",
                {}};
      default:
        return {ErrorCode::unreachable, "closed the connection without an answer", {}};
    }
  }

  ExchangeState state;
  std::unique_ptr<httplib::ClientImpl> client;
};

HttpConnection::HttpConnection(const DaemonAddress& address, const TlsOptions& tls)
    : path_prefix_(address.path_prefix),
      tls_(address.https),
      peer_(std::make_unique<Peer>(address, tls)) {}

HttpConnection::~HttpConnection() {
  const SigpipeGuard guard(tls_);
  peer_.reset();
}

tl::expected<HttpAnswer, TransportFailure> HttpConnection::exchange(
    const HttpRequest& request, SteadyClock::time_point deadline) {
  const SigpipeGuard guard(tls_);
  const ExchangeState& state = peer_->state;
  tl::expected<HttpAnswer, TransportFailure> answer;
  do {
    peer_->state = {};
    peer_->state.deadline = deadline;
    answer = exchange_once(request);
  } while (!answer && !state.fresh && state.sent == 0 && !state.timed_out);

  reusable_ = answer && !state.answered_early && !state.leftover && peer_->client->is_socket_open();
  if (!reusable_) peer_->client->stop();
  return answer;
}

tl::expected<HttpAnswer, TransportFailure> HttpConnection::exchange_once(
    const HttpRequest& request) {
  auto answer =
      request.method == HttpRequest::Method::put ? put(request) : send_without_body(request);
  if (answer && answer->status == 200 && peer_->state.answered_early) {
    return tl::unexpected(TransportFailure{
        ErrorCode::malformed_response, "claims to have stored a body before it was sent", {}});
  }
  return answer;
}

tl::expected<HttpAnswer, TransportFailure> HttpConnection::put(const HttpRequest& request) {
  peer_->client->set_decompress(false);  // nobody reads what stands in these answers
  peer_->state.more_follows = request.header.size() + request.payload.size() > 0;
  auto result = peer_->client->Put(
      path_prefix_ + request.target, {}, request.header.size() + request.payload.size(),
      [&](std::size_t offset, std::size_t, httplib::DataSink& sink) {
        return write_piece(request, offset, sink, peer_->state);
      },
      "application/octet-stream");
  if (!result) return tl::unexpected(peer_->failure(result.error()));
  return HttpAnswer{result->status, result->get_header_value("Content-Type"),
                    std::move(result->body)};
}

tl::expected<HttpAnswer, TransportFailure> HttpConnection::send_without_body(
    const HttpRequest& request) {
  peer_->client->set_decompress(true);
  std::string body;
  httplib::Request plain;
  plain.method = request.method == HttpRequest::Method::get ? "GET" : "POST";
  plain.path = path_prefix_ + request.target;
  plain.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    if (body.size() + size > max_body) {
      peer_->state.beyond_bounds = true;
      return false;
    }
    body.append(data, size);
    return true;
  };
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  if (!peer_->client->send(plain, response, error)) {
    auto failure = peer_->failure(error);
    failure.body = std::move(body);
    return tl::unexpected(std::move(failure));
  }
  return HttpAnswer{response.status, response.get_header_value("Content-Type"), std::move(body)};
}

}  // namespace hyperpod::client
