// SPDX-License-Identifier: Apache-2.0
// One connection of the admin port, as cpp-httplib wants it.
//
// One thread uses it. In place of the library's own stream: that one waits with select(), which
// fails on descriptors from 1,024 on, and bounds neither the time nor the bytes of a request.
#pragma once

#include <httplib.h>

#include <array>
#include <chrono>

namespace hyperpod::emulator::admin {

class HttpConnection final : public httplib::Stream {
 public:
  /// `fd` does not block and outlives this.
  explicit HttpConnection(int fd);

  /// The head has been read: the body has a budget of its own.
  void head_is_complete();

  /// Reads what the peer still sends, within bounds, so that closing does not cut off the answer.
  void linger();

  // -1 beyond the time or the bytes that a request may take, 0 at its end.
  ssize_t read(char* to, std::size_t size) override;
  ssize_t write(const char* from, std::size_t size) override;
  bool is_readable() const override;
  bool is_writable() const override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override;

 private:
  using Time = std::chrono::steady_clock::time_point;

  bool wait_for(short events, Time deadline) const;
  ssize_t receive(char* to, std::size_t size);

  const int fd_;
  Time deadline_;        // of all reading
  std::size_t allowed_;  // bytes still to be read
  std::array<char, 8192> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace hyperpod::emulator::admin
