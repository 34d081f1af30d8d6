// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/socket_set.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace hyperpod::base {

SocketSet::SocketSet() : set_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!set_) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

bool SocketSet::add(int socket, SocketWatcher& watcher) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watcher;
  if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, socket, &event) != 0) return false;
  ++watched_;
  return true;
}

void SocketSet::remove(int socket, SocketWatcher& watcher) noexcept {
  // A copy of the socket that a child process has would keep it in the set.
  ::epoll_ctl(set_.get(), EPOLL_CTL_DEL, socket, nullptr);
  --watched_;
  for (std::size_t i = told_; i < ready_count_; ++i) {
    if (ready_[i].watcher == &watcher) ready_[i].watcher = nullptr;
  }
}

std::size_t SocketSet::look() noexcept {
  // The kernel fills it. NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  std::array<epoll_event, at_once> events;
  const int count = ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()), 0);
  told_ = 0;
  ready_count_ = static_cast<std::size_t>(std::max(count, 0));
  for (std::size_t i = 0; i < ready_count_; ++i) {
    ready_[i] = {static_cast<SocketWatcher*>(events[i].data.ptr), events[i].events};
  }
  return ready_count_;
}

}  // namespace hyperpod::base
