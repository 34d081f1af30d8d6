// The addresses of hosts, asked of a resolver that knows no deadline.
//
// Every member may be called from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hyperpod::client {

struct Resolution {
  std::vector<std::string> addresses;  // numeric, in the order in which they are to be tried
  std::string problem;                 // the resolver's words; empty if there are addresses
};

class HostResolver {
 public:
  /// May take as long as it likes.
  using LookUp = std::function<Resolution(const std::string& host)>;

  explicit HostResolver(LookUp look_up = system_look_up);

  /// The process's own.
  static HostResolver& shared();
  /// Asks the system.
  static Resolution system_look_up(const std::string& host);

  /// Nullopt if no answer has come by `deadline`. The lookup is then left to itself, in a thread of
  /// its own, and whoever asks for the same host meanwhile waits for that one.
  std::optional<Resolution> resolve(const std::string& host,
                                    std::chrono::steady_clock::time_point deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;  // also of the lookups under way
};

}  // namespace hyperpod::client
