// SPDX-License-Identifier: Apache-2.0
// The connections that the loop has lent to the threads that make blocking calls.
//
// To hand a request to the loop's thread and its outcome back costs more than the request itself.
// So a connection over which a thread has waited for a release stays out of the loop's hands, and
// keeps its place of the gate, for the next blocking lease or release: whoever makes that sends and
// receives with its own thread. What does not go smoothly is handed to the loop as it stands. The
// loop takes back what nobody uses for a while, what it needs itself in place of a new connection,
// and all when requests queue for a place or the client is closed.
//
// Every member may be called from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "transport/connection.h"

namespace hyperpod::client::transport {

class LentConnections {
 public:
  struct Loan {
    std::size_t host;
    std::shared_ptr<Connection> connection;
    TimePoint since;  // nobody has used it
  };

  /// Lends a connection of the loop's. False if none is accepted now, or there is no memory.
  bool lend(Loan loan);

  /// One to use; null if there is none to that host.
  std::shared_ptr<Connection> borrow(std::size_t host);
  /// Leaves what was borrowed for others. False if the loop has to take it back.
  bool leave(Loan loan);
  /// The loop has taken back, or goes on with, what was borrowed.
  void settle();

  /// Takes back one to that host that nobody uses, if there is any.
  std::optional<Loan> take_unused(std::size_t host);
  /// Takes back any that nobody uses. If there is none, whatever is left from now on is for the
  /// loop, until accept().
  std::optional<Loan> recall();
  void accept();
  /// Takes back one that nobody has used since that time.
  std::optional<Loan> take_unused_since(TimePoint time);

  bool any_borrowed() const;
  bool any() const;

 private:
  bool keep(Loan&& loan);
  std::optional<Loan> take_last(std::size_t host);
  Loan take_first();

  mutable std::mutex mutex_;  // guards all
  std::vector<Loan> unused_;  // the longest unused first
  std::size_t borrowed_ = 0;
  bool recalled_ = false;
};

}  // namespace hyperpod::client::transport
