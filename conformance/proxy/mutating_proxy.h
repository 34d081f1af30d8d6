// SPDX-License-Identifier: Apache-2.0
// A proxy in front of a correct daemon that changes what passes through it in one way, and so makes
// a daemon with one defect.
//
// Without a mutation it is transparent: bytes, resets and ends pass as they came. It runs on one
// thread of its own, on which every hook of its mutation is called, so that mutations need no
// locks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "probe/time.h"
#include "proxy/message.h"

namespace hyperpod::conformance::proxy {

/// A request on its way, as the client sent it.
struct ReceivedRequest {
  RequestHead head;
  std::uint64_t connection = 0;  ///< Counted from 1.
  TimePoint at;                  ///< When its head was complete.
};

/// What is done wrong. All members together do nothing wrong when left alone.
struct Mutation {
  /// Changes a request's head before the daemon gets it, or answers in the daemon's stead.
  std::function<std::optional<ResponseMessage>(RequestHead&, const ReceivedRequest&)> request;
  /// Changes a part of a body that begins at byte `at` of it.
  std::function<void(const ReceivedRequest&, std::uint64_t at, std::span<char>)> body;
  /// Changes the daemon's response.
  std::function<void(const ReceivedRequest&, ResponseMessage&)> response;
  /// Called when the response has been handed to the kernel.
  std::function<void(const ReceivedRequest&, const ResponseMessage&)> answered;
  /// Keeps a response back for this long.
  std::function<std::chrono::milliseconds(const ReceivedRequest&, const ResponseMessage&)> delay;
  /// A client that went away in the middle of a body or of a held request.
  std::function<void(const ReceivedRequest&)> abandoned;

  /// A request that is the end of the daemon: it closes all connections and listens no more.
  std::function<bool(const RequestHead&)> ends_at;

  std::string version = "HTTP/1.1";         ///< Of answers.
  std::size_t requests_at_once = 0;         ///< Further ones wait; 0: no limit.
  std::size_t requests_per_connection = 0;  ///< Then it is closed; 0: no limit.
  std::size_t connections_ever = 0;         ///< Then no more are accepted; 0: no limit.
  std::uint64_t bytes_per_connection = 0;   ///< From the client, then it is cut; 0: no limit.
  bool close_after_miss = false;
  bool drop_pipelined = false;    ///< What arrives behind a request before its response is lost.
  bool whole_heads_only = false;  ///< A head that comes in pieces is answered 400.
  /// Of the body of a request answered in the daemon's stead so much is read, the rest as requests.
  std::uint64_t most_read_of_refused = UINT64_MAX;
  /// A body cut short behind so many bytes, so many of it missing, is filled up with zeros.
  std::function<bool(std::uint64_t arrived, std::uint64_t missing)> completes_cut_body;
  bool end_cut_chunks = false;        ///< The last chunk is added to a chunked body cut short.
  bool keep_cut_connections = false;  ///< The daemon is not told that a client has gone.
  bool mute_at_nonsense = false;      ///< What is not HTTP gets neither a response nor an end.
  bool grant_plain_on_tls = false;    ///< Plain HTTP on a TLS port is answered 200.
};

class MutatingProxy {
 public:
  /// Listens on a free port of 127.0.0.1 and passes everything on to 127.0.0.1:`port`.
  MutatingProxy(std::uint16_t port, Mutation mutation);
  ~MutatingProxy();
  MutatingProxy(const MutatingProxy&) = delete;
  MutatingProxy& operator=(const MutatingProxy&) = delete;

  std::uint16_t port() const;
  /// From now on, another daemon is behind it.
  void redirect(std::uint16_t port);
  /// Calls `action` on the proxy's thread after `delay`.
  void later(std::chrono::milliseconds delay, std::function<void()> action);

 private:
  class Server;
  class Link;
  std::unique_ptr<Server> server_;
};

}  // namespace hyperpod::conformance::proxy
