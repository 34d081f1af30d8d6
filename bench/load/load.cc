// SPDX-License-Identifier: Apache-2.0
#include "load/load.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <thread>

#include "load/connection.h"

namespace hyperpod::bench {
namespace {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::steady_clock;

constexpr std::chrono::seconds patience{10};

struct Window {
  Time start;  // of counting
  Time end;
};

/// One thread's share of the connections: those numbered `first`, `first + stride`, …
class Loop {
 public:
  Loop(const std::vector<base::FileDescriptor>& sockets, std::size_t first, std::size_t stride,
       Workload& workload, Window window)
      : workload_(workload), window_(window), poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (std::size_t number = first; number < sockets.size(); number += stride) {
      peers_.push_back(
          {.socket = sockets[number].get(), .number = number, .pending = {}, .sent = {}});
    }
  }

  Result<RunResult> run() {
    if (!poll_) return system_failure("no epoll descriptor could be opened");
    for (Peer& peer : peers_) {
      epoll_event event{.events = EPOLLIN, .data = {.ptr = &peer}};
      if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, peer.socket, &event) != 0) {
        return system_failure("a connection cannot be watched");
      }
      if (auto sent = send_next(peer, steady_clock::now()); !sent) {
        return tl::unexpected(sent.error());
      }
    }
    while (outstanding_ > 0) {
      if (auto done = wait_and_serve(); !done) return tl::unexpected(done.error());
    }
    result_.seconds =
        std::chrono::duration<double>(std::min(last_, window_.end) - window_.start).count();
    return std::move(result_);
  }

 private:
  struct Peer {
    int socket;
    std::size_t number;
    std::string pending;  // the beginning of a response, empty as a rule
    Time sent;
  };

  Result<void> wait_and_serve() {
    constexpr int timeout = std::chrono::milliseconds(patience).count();
    const int ready =
        ::epoll_wait(poll_.get(), events_.data(), static_cast<int>(events_.size()), timeout);
    if (ready < 0 && errno != EINTR) return system_failure("waiting for responses failed");
    if (ready == 0) return failure("the server has not answered for ten seconds");
    for (int i = 0; i < ready; ++i) {
      auto served = receive(*static_cast<Peer*>(events_[static_cast<std::size_t>(i)].data.ptr));
      if (!served) return served;
    }
    return {};
  }

  Result<void> receive(Peer& peer) {
    const ssize_t got = ::recv(peer.socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0) return system_failure("receiving a response failed");
    if (got == 0) return failure("the server closed a connection that was in use");
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
    if (!peer.pending.empty()) bytes = peer.pending.append(bytes);
    const auto parsed = parse_response(bytes);
    if (parsed.result == ParseResult::incomplete) {
      if (peer.pending.empty()) peer.pending = bytes;
      return {};
    }
    if (parsed.result == ParseResult::unreadable || parsed.size != bytes.size()) {
      return failure("the server sent what is not one response: " +
                     std::string(bytes.substr(0, 200)));
    }
    return finish(peer, parsed.response);
  }

  Result<void> finish(Peer& peer, const Response& response) {
    const Time now = steady_clock::now();
    last_ = now;
    ++result_.responses;
    --outstanding_;
    if (now >= window_.start && now < window_.end) result_.latencies.record(now - peer.sent);
    if (!workload_.answered(peer.number, response)) {
      return failure("the server answered " + std::to_string(response.status) + ": " +
                     std::string(response.body.substr(0, 200)));
    }
    peer.pending.clear();
    return send_next(peer, now);
  }

  Result<void> send_next(Peer& peer, Time now) {
    if (!workload_.next(peer.number, now >= window_.end, request_)) return {};
    peer.sent = now;
    ++outstanding_;
    const ssize_t sent =
        ::send(peer.socket, request_.data(), request_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != std::ssize(request_)) return system_failure("a request could not be sent at once");
    return {};
  }

  Workload& workload_;
  const Window window_;
  base::FileDescriptor poll_;
  std::vector<Peer> peers_;
  std::size_t outstanding_ = 0;
  std::string request_;
  std::array<epoll_event, 256> events_{};
  std::array<char, 16 * 1024> buffer_{};
  Time last_;
  RunResult result_;
};

}  // namespace

Load::Load(std::vector<base::FileDescriptor> sockets, std::size_t threads)
    : sockets_(std::move(sockets)), threads_(threads) {}

Result<Load> Load::connect(std::uint16_t port, std::size_t connections, std::size_t threads) {
  std::vector<base::FileDescriptor> sockets;
  for (std::size_t i = 0; i < connections; ++i) {
    auto socket = connect_to(port);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(std::move(*socket));
  }
  return Load(std::move(sockets), std::min(threads, connections));
}

Result<RunResult> Load::run(Workload& workload, const RunOptions& options) {
  const Time start = steady_clock::now() + options.warm_up;
  std::vector<Result<RunResult>> results(threads_, failure("not run"));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < threads_; ++i) {
      threads.emplace_back([&, i] {
        results[i] = Loop(sockets_, i, threads_, workload, {start, start + options.duration}).run();
      });
    }
  }
  RunResult total;
  for (const auto& result : results) {
    if (!result) return tl::unexpected(result.error());
    total.latencies.merge(result->latencies);
    total.responses += result->responses;
    total.seconds = std::max(total.seconds, result->seconds);
  }
  return total;
}

}  // namespace hyperpod::bench
