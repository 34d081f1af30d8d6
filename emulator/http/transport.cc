// SPDX-License-Identifier: Apache-2.0
#include "http/transport.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

#include "http/event.h"

namespace hyperpod::emulator::http {
namespace {

IoError last_error() { return {errno, boost::system::system_category()}; }

void set_option(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof value);
}

void end_with_reset(int socket) {
  constexpr linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

std::string peer_of(int socket) {
  asio::ip::tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  if (::getpeername(socket, peer.data(), &size) != 0) return {};
  peer.resize(size);
  const auto address = peer.address().to_string();
  return peer.address().is_v6() ? fmt::format("[{}]:{}", address, peer.port())
                                : fmt::format("{}:{}", address, peer.port());
}

// The kernel found no memory behind an address of ours: the segment has been truncated. Whoever
// accesses it himself ends with a line that says so; see core/signals.h.
void touch(asio::mutable_buffer buffer) {
  constexpr std::size_t least_page = 4096;
  auto* const bytes = static_cast<volatile std::byte*>(buffer.data());
  for (std::size_t at = 0; at < buffer.size(); at += least_page) bytes[at] = std::byte{};
  if (buffer.size() > 0) bytes[buffer.size() - 1] = std::byte{};
}

class PlainTransport final : public Transport, private base::SocketWatcher {
 public:
  PlainTransport(Worker& worker, base::FileDescriptor socket)
      : worker_(worker), socket_(std::move(socket)) {
    if (worker_.watch(socket_.get(), *this)) return;
    socket_.reset();  // as if the peer had gone
    may_read_ = true;
  }
  ~PlainTransport() override { close(); }
  PlainTransport(const PlainTransport&) = delete;
  PlainTransport& operator=(const PlainTransport&) = delete;

  Awaitable<void> handshake(IoError&) override { co_return; }

  Awaitable<void> receive(Receiver& receiver) override {
    while (true) {
      while (may_read_) {
        co_await worker_.yield();
        if (!receiver.receive_now()) co_return;
      }
      receiver_ = &receiver;
      co_await readable_.wait();
      if (std::exchange(receiver_, nullptr) == nullptr) co_return;
    }
  }

  Awaitable<std::size_t> read_some(asio::mutable_buffer first, asio::mutable_buffer second,
                                   IoError& ec) override {
    if (may_read_) co_await worker_.yield();  // others have their turn, however much comes
    while (true) {
      const auto got = read_now(first, second, ec);
      if (ec != asio::error::would_block) co_return got;
      co_await readable_.wait();
    }
  }

  std::size_t read_now(asio::mutable_buffer first, asio::mutable_buffer second,
                       IoError& ec) override {
    ec = {};
    if (!may_read_) {
      ec = asio::error::would_block;
      return 0;
    }
    const std::size_t wanted = first.size() + second.size();
    if (wanted == 0) return 0;
    ssize_t got = 0;
    do {
      got = read(first, second);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
      // Less than was asked for is all of it, unless the end is behind it, or an urgent byte, which
      // nobody sends to a daemon.
      may_read_ = ended_ || static_cast<std::size_t>(got) == wanted;
      return static_cast<std::size_t>(got);
    }
    ec = got == 0 ? IoError(asio::error::eof) : last_error();
    if (ec == asio::error::would_block) may_read_ = false;
    if (ec == boost::system::errc::bad_address) {
      touch(first);
      touch(second);
    }
    return 0;
  }

  void tell_end(Receiver& receiver) override {
    end_receiver_ = &receiver;
    if (ended_) receiver.peer_ended();
  }

  void expect(std::size_t bytes) override {
    set_option(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(bytes));
  }

  std::size_t available() override {
    int bytes = 0;
    if (::ioctl(socket_.get(), FIONREAD, &bytes) != 0 || bytes <= 0) return 0;
    may_read_ = true;  // though the news of it may still be on its way
    return static_cast<std::size_t>(bytes);
  }

  std::size_t write_now(std::string_view bytes, IoError& ec) override {
    ssize_t sent = 0;
    do {
      sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno != EAGAIN) ec = last_error();
    return 0;
  }

  Awaitable<void> write(std::string_view bytes, IoError& ec) override {
    while (true) {
      bytes.remove_prefix(write_now(bytes, ec));
      if (bytes.empty() || ec) co_return;
      co_await writable_.wait();
    }
  }

  void shutdown_send() override { ::shutdown(socket_.get(), SHUT_WR); }

  void close() override {
    if (!socket_) return;
    worker_.unwatch(socket_.get(), *this);
    socket_.reset();
    may_read_ = true;  // that nothing can be read any more
    readable_.raise(worker_.io());
    writable_.raise(worker_.io());
  }

  void reset() override {
    end_with_reset(socket_.get());
    close();
  }

  std::string peer() const override { return peer_of(socket_.get()); }

 private:
  void ready(std::uint32_t events) override {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      ended_ = true;
      if (end_receiver_ != nullptr) end_receiver_->peer_ended();
    }
    if (ended_ || (events & EPOLLIN) != 0) may_read_ = true;
    bool reads_on = may_read_;
    if (receiver_ != nullptr && may_read_) {
      const bool waits_on = receiver_->receive_now();
      if (!waits_on) receiver_ = nullptr;
      reads_on = !waits_on || may_read_;
    }
    // Each may be the end of this.
    auto reader = reads_on ? readable_.end_wait() : std::nullopt;
    auto writer = ended_ || (events & EPOLLOUT) != 0 ? writable_.end_wait() : std::nullopt;
    if (reader) (*reader)();
    if (writer) (*writer)();
  }

  ssize_t read(asio::mutable_buffer first, asio::mutable_buffer second) const {
    if (second.size() == 0) return ::recv(socket_.get(), first.data(), first.size(), MSG_DONTWAIT);
    std::array parts{iovec{first.data(), first.size()}, iovec{second.data(), second.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  }

  Worker& worker_;
  Receiver* receiver_ = nullptr;  // of who waits for readable_; null once it has returned false
  Receiver* end_receiver_ = nullptr;
  base::FileDescriptor socket_;
  bool may_read_ = false;  // something may have come
  bool ended_ = false;     // the peer is done sending, or gone
  Event readable_, writable_;
};

class TlsTransport final : public Transport {
  using Stream = asio::ssl::stream<Socket>;

 public:
  TlsTransport(Worker& worker, base::FileDescriptor socket, asio::ssl::context& context)
      : stream_(std::make_shared<Stream>(Socket(worker.io()), context)) {
    IoError ec;
    int family = AF_INET;
    socklen_t size = sizeof family;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
    stream_->next_layer().assign(family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(),
                                 socket.get(), ec);
    if (!ec) socket.release();  // or the kernel has no memory for it
  }

  Awaitable<void> handshake(IoError& ec) override {
    return stream_->async_handshake(asio::ssl::stream_base::server, resume_with(ec));
  }

  Awaitable<void> receive(Receiver&) override { co_return; }
  void tell_end(Receiver&) override {}

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

  void reset() override {
    end_with_reset(socket());
    close();
  }

  std::string peer() const override { return peer_of(socket()); }

 private:
  int socket() const { return stream_->next_layer().native_handle(); }

  std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(Worker& worker, base::FileDescriptor socket) {
  set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return std::make_unique<PlainTransport>(worker, std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(Worker& worker, base::FileDescriptor socket,
                                              asio::ssl::context& context) {
  set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return std::make_unique<TlsTransport>(worker, std::move(socket), context);
}

}  // namespace hyperpod::emulator::http
