// SPDX-License-Identifier: Apache-2.0
// HTTP for the admin port: cpp-httplib reads requests and writes answers; sockets, threads and
// limits are here.
//
// Each connection carries one request and has a thread for that time, so that a call that waits
// holds up no other; at rest there is one thread, asleep in accept. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::admin {

struct AdminRequest {
  std::string method;  ///< "GET" for HEAD as well.
  std::string path;    ///< Still percent-encoded.
  std::multimap<std::string, std::string> query;
  std::string accept;
  std::string body;  ///< At most longest_admin_body.
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::string allow{};  ///< Of a 405.
};

constexpr std::size_t longest_admin_body = 1 << 20;

class HttpFront {
 public:
  /// Called on many threads at once.
  using Handler = std::function<AdminResponse(const AdminRequest&)>;
  /// The body of an answer to what is no request that a handler could see.
  using Complaint = std::function<std::string(int status, const std::string& message)>;

  /// Binds `address` (HOST:PORT, port 0: a free one) and answers with `handler`.
  static Result<std::unique_ptr<HttpFront>> start(const std::string& address, Handler handler,
                                                  Complaint complaint);
  ~HttpFront();  ///< Calls stop().
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  /// Where to send requests; for a wildcard address, the loopback address of its family.
  const std::string& url() const;
  /// Whether only this machine can reach it.
  bool loopback() const;

  /// Accepts no more, gives the answers under way a moment, and cuts the rest. A handler that waits
  /// is waited for. Idempotent.
  void stop();

 private:
  class Impl;
  explicit HttpFront(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hyperpod::emulator::admin
