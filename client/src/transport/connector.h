// SPDX-License-Identifier: Apache-2.0
// Makes one connection to a host that may have several addresses, as RFC 8305 ("Happy Eyeballs")
// has it: the next address is tried 250 ms after the one before, or at once if that one failed, and
// the first that connects is taken.
//
// Belongs to the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "transport/host_resolver.h"
#include "transport/http.h"
#include "transport/loop.h"

namespace hyperpod::client::transport {

class Connector : public std::enable_shared_from_this<Connector> {
 public:
  static constexpr std::chrono::milliseconds attempt_delay{250};

  using Done = std::function<void(tl::expected<Socket, TransportFailure>)>;

  Connector(Loop& loop, std::string host, std::uint16_t port);
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  /// Calls `done` once, later or before it returns. To be called once.
  void start(Done done);
  /// Gives up: `done` is not called any more.
  void cancel();
  /// Whether the name's addresses are not known yet.
  bool is_resolving() const { return resolving_; }

 private:
  void resolved(const Resolution& resolution);
  template <class Step>
  void guarded(Step step);
  void try_next();
  void finish(tl::expected<Socket, TransportFailure> outcome);

  Loop& loop_;
  const std::string host_;
  const std::uint16_t port_;
  Done done_;  // empty once it is over
  bool resolving_ = false;
  std::vector<asio::ip::tcp::endpoint> endpoints_;
  std::size_t next_ = 0;      // of endpoints_
  std::size_t underway_ = 0;  // attempts
  std::vector<std::unique_ptr<Socket>> attempts_;
  TransportFailure failure_;
  Timer delay_;
};

/// Closes a socket so that its peer learns it at once, even if a child process has inherited a
/// copy.
void close_socket(base::FileDescriptor& socket);

}  // namespace hyperpod::client::transport
