// SPDX-License-Identifier: Apache-2.0
// A proxy in front of a test daemon that writes down what the client sends.
//
// The members may be called from the check's thread while traffic flows.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/mutating_proxy.h"

namespace hyperpod::conformance::proxy {

class RecordingProxy {
 public:
  struct Seen {
    RequestHead head;
    std::string body;
  };

  /// Listens in front of the daemon at 127.0.0.1:`port`.
  explicit RecordingProxy(std::uint16_t port);

  std::string url() const;
  /// All requests so far, in the order in which their heads came.
  std::vector<Seen> requests() const;
  std::vector<Seen> puts() const;
  std::vector<Seen> acquires() const;

 private:
  struct Log {
    std::mutex mutex;
    std::vector<std::pair<std::uint64_t, Seen>> requests;  // with their connections
  };

  std::shared_ptr<Log> log_;
  MutatingProxy proxy_;
};

}  // namespace hyperpod::conformance::proxy
