// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/socket_set.h"

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
    if (ready_[i].data.ptr == &watcher) ready_[i].data.ptr = nullptr;
  }
}

std::size_t SocketSet::look() noexcept {
  const int count = ::epoll_wait(set_.get(), ready_.data(), static_cast<int>(ready_.size()), 0);
  told_ = 0;
  ready_count_ = static_cast<std::size_t>(std::max(count, 0));
  return ready_count_;
}

}  // namespace hyperpod::base
