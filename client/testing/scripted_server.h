// SPDX-License-Identifier: Apache-2.0
// A server on a raw socket that does to each connection what a test's script says, malformed,
// truncated, late or lying.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace hyperpod::client::testing {

/// One request as it came.
struct SeenRequest {
  std::string line;  // without CRLF
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  /// The value of a header, by its lower- or upper-case name; empty if it is absent.
  std::string header(std::string_view name) const;
};

/// The script's end of one connection.
class Conversation {
 public:
  Conversation(int fd, int number) : fd_(fd), number_(number) {}
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation();

  /// Which connection this is, counted from 0.
  int number() const { return number_; }
  /// The next request with its whole body; nullopt when the peer has closed.
  std::optional<SeenRequest> read_request();
  /// The next request's head; its body stays unread.
  std::optional<SeenRequest> read_head();
  void send(std::string_view bytes);
  /// Waits until the peer has closed its end, reading what comes; false if it has not in that time.
  bool peer_closes(std::chrono::milliseconds within = std::chrono::seconds{10});
  /// Closes, with a reset if bytes are unread or `reset` is true.
  void close(bool reset = false);

 private:
  friend class ScriptedServer;
  bool fill();

  std::mutex mutex_;  // guards fd_ against the server's stop
  int fd_;
  const int number_;
  std::string buffer_;
};

class ScriptedServer {
 public:
  using Script = std::function<void(Conversation&)>;

  /// Runs `script` in a thread of its own for each connection, which is closed when it returns.
  explicit ScriptedServer(Script script, std::uint16_t port = 0);
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer();

  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }
  /// Closes the listener and every connection, and waits for the scripts.
  void stop();

 private:
  void accept_all();

  const Script script_;
  int listener_;
  std::uint16_t port_;
  std::atomic<int> connections_{0};
  std::mutex mutex_;  // guards what follows
  bool stopping_ = false;
  std::vector<std::shared_ptr<Conversation>> conversations_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// An answer with a Content-Length.
std::string answer(int status, std::string_view body = {},
                   std::string_view content_type = "application/json");

/// The body of a lease answer.
std::string lease_body(
    std::string_view id,
    std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> offsets_and_lengths);

/// Waits, at most thirty seconds, until `condition` holds.
bool eventually(const std::function<bool()>& condition);

}  // namespace hyperpod::client::testing
