// SPDX-License-Identifier: Apache-2.0
// The sockets of an event loop: an epoll set of its own, which the loop waits for as one
// descriptor.
//
// Asio reads a stream socket once more after each read, only to learn that nothing is there: a
// fifth of the system calls of a request. Who watches a socket reads it once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::base {

/// Told what has become of a socket that is watched.
class SocketWatcher {
 public:
  /// `events` are those of epoll_ctl(2), edge-triggered: told once of all that has come, and once
  /// that there is room again after a send found none. A read of less than was asked for has taken
  /// all; with EPOLLRDHUP, EPOLLHUP or EPOLLERR, which are told once as well, read on until there
  /// is nothing or an error.
  virtual void ready(std::uint32_t events) = 0;

 protected:
  ~SocketWatcher() = default;
};

/// Not thread-safe: belongs to the loop's thread.
class SocketSet {
 public:
  /// Throws std::system_error if the system refuses a descriptor.
  SocketSet();
  SocketSet(const SocketSet&) = delete;
  SocketSet& operator=(const SocketSet&) = delete;

  /// Readable while tell() has something to tell.
  int descriptor() const noexcept { return set_.get(); }
  bool empty() const noexcept { return watched_ == 0; }

  /// Watches `socket` until remove(), a watcher of its own for each. False and errno if the system
  /// refuses.
  bool add(int socket, SocketWatcher& watcher) noexcept;
  /// To be called before the socket is closed. Nothing is told of it any more, not even what has
  /// been found ready already.
  void remove(int socket, SocketWatcher& watcher) noexcept;

  /// Calls `tell(watcher, events)` for each socket that is ready, up to `at_once` of them, and
  /// returns how many there were. Does not wait. `tell` may add and remove sockets, and must not
  /// throw.
  template <class Tell>
  std::size_t tell(const Tell& tell) {
    const std::size_t found = look();
    while (told_ < ready_count_) {
      const Ready& ready = ready_[told_++];
      if (ready.watcher != nullptr) tell(*ready.watcher, ready.events);
    }
    return found;
  }
  static constexpr std::size_t at_once = 64;

 private:
  struct Ready {
    SocketWatcher* watcher;  // null once removed
    std::uint32_t events;
  };

  /// Fills ready_, and returns with how many.
  std::size_t look() noexcept;

  FileDescriptor set_;
  std::size_t watched_ = 0;
  std::array<Ready, at_once> ready_{};
  std::size_t told_ = 0, ready_count_ = 0;  // of ready_, still to be told: from told_ on
};

}  // namespace hyperpod::base
