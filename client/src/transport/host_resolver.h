// SPDX-License-Identifier: Apache-2.0
// The addresses of hosts, asked of a resolver that knows no deadline and cannot be stopped.
//
// Each lookup has a thread of its own, one for each host name at a time, and nobody waits for it:
// whoever has lost interest just does not listen any more.
//
// Every member may be called from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hyperpod::client::transport {

struct Resolution {
  std::vector<std::string> addresses;  // numeric, in the order in which they are to be tried
  std::string problem;                 // the resolver's words; empty if there are addresses
  bool no_thread = false;              // the lookup could not be begun for want of a thread
};

class HostResolver {
 public:
  /// May take as long as it likes.
  using LookUp = std::function<Resolution(const std::string& host)>;
  using Callback = std::function<void(const Resolution&)>;

  explicit HostResolver(LookUp look_up = system_look_up);

  /// The process's own; a child made by fork() has another.
  static HostResolver& shared();
  /// Asks the system.
  static Resolution system_look_up(const std::string& host);

  /// The address that `host` is already, if it is one.
  static std::optional<Resolution> numeric(const std::string& host);

  /// Calls back with the addresses of `host`, on the lookup's thread, or before it returns if that
  /// thread cannot be started. Shares a lookup of the same host that is under way.
  void resolve(const std::string& host, Callback callback);

  /// Nullopt if there is no response by `deadline`.
  std::optional<Resolution> resolve(const std::string& host,
                                    std::chrono::steady_clock::time_point deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;  // also of the lookups under way
};

}  // namespace hyperpod::client::transport
