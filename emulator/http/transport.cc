// SPDX-License-Identifier: Apache-2.0
#include "http/transport.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

namespace hyperpod::emulator::http {
namespace {

void reset_socket(Socket& socket) {
  IoError ignored;
  socket.set_option(Socket::linger(true, 0), ignored);
  socket.close(ignored);
}

std::string peer_of(const Socket& socket) {
  IoError ec;
  const auto peer = socket.remote_endpoint(ec);
  if (ec) return {};
  const auto address = peer.address().to_string();
  return peer.address().is_v6() ? fmt::format("[{}]:{}", address, peer.port())
                                : fmt::format("{}:{}", address, peer.port());
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {
    IoError ignored;
    socket_.non_blocking(true, ignored);
  }

  Awaitable<void> handshake(IoError&) override { co_return; }

  Awaitable<std::size_t> read_some(asio::mutable_buffer first, asio::mutable_buffer second,
                                   IoError& ec) override {
    if (second.size() == 0) return socket_.async_read_some(first, resume_with(ec));
    return socket_.async_read_some(std::array{first, second}, resume_with(ec));
  }

  std::size_t read_now(asio::mutable_buffer first, asio::mutable_buffer second,
                       IoError& ec) override {
    if (second.size() == 0) return socket_.read_some(asio::buffer(first), ec);
    return socket_.read_some(std::array{first, second}, ec);
  }

  void expect(std::size_t bytes) override {
    IoError ignored;
    socket_.set_option(Socket::receive_low_watermark(static_cast<int>(bytes)), ignored);
  }

  std::size_t available() override {
    IoError ignored;
    return socket_.available(ignored);
  }

  std::size_t write_now(std::string_view bytes, IoError& ec) override {
    const auto sent = socket_.write_some(asio::buffer(bytes), ec);
    if (ec == asio::error::would_block) ec = {};
    return sent;
  }

  Awaitable<void> write(std::string_view bytes, IoError& ec) override {
    co_await asio::async_write(socket_, asio::buffer(bytes), resume_with(ec));
  }

  void shutdown_send() override {
    IoError ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  void close() override {
    IoError ignored;
    socket_.close(ignored);
  }

  void reset() override { reset_socket(socket_); }
  std::string peer() const override { return peer_of(socket_); }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
  using Stream = asio::ssl::stream<Socket>;

 public:
  TlsTransport(Socket socket, asio::ssl::context& context)
      : stream_(std::make_shared<Stream>(std::move(socket), context)) {}

  Awaitable<void> handshake(IoError& ec) override {
    return stream_->async_handshake(asio::ssl::stream_base::server, resume_with(ec));
  }

  Awaitable<std::size_t> read_some(asio::mutable_buffer first, asio::mutable_buffer second,
                                   IoError& ec) override {
    return stream_->async_read_some(first.size() > 0 ? first : second, resume_with(ec));
  }

  std::size_t write_now(std::string_view, IoError&) override { return 0; }

  std::size_t read_now(asio::mutable_buffer, asio::mutable_buffer, IoError& ec) override {
    ec = asio::error::would_block;  // what the socket has is not yet what the stream has
    return 0;
  }

  // Bytes of the socket are not bytes of the stream.
  void expect(std::size_t) override {}
  std::size_t available() override { return 0; }

  Awaitable<void> write(std::string_view bytes, IoError& ec) override {
    co_await asio::async_write(*stream_, asio::buffer(bytes), resume_with(ec));
  }

  void shutdown_send() override {
    // Our close_notify is sent at once. The rest, which waits for the peer's, may outlive us.
    stream_->async_shutdown([kept = stream_](IoError) {});
  }

  void close() override {
    IoError ignored;
    stream_->lowest_layer().close(ignored);
  }

  void reset() override { reset_socket(stream_->next_layer()); }
  std::string peer() const override { return peer_of(stream_->next_layer()); }

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(Socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsTransport>(std::move(socket), context);
}

}  // namespace hyperpod::emulator::http
