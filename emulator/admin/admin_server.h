// SPDX-License-Identifier: Apache-2.0
// The admin port: health, metrics, state, journal, faults, clock and reset over HTTP.
//
// Thread-safe. It never touches the data port; what it does it does through a Control.
#pragma once

#include <memory>
#include <string>

#include "admin/control.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::admin {

class AdminServer {
 public:
  /// Serves `control`, which must outlive this, on `address` (HOST:PORT, port 0: a free one). Warns
  /// through the options' log when other machines can reach it.
  static Result<std::unique_ptr<AdminServer>> start(const std::string& address, Control& control);
  ~AdminServer();  ///< Calls stop().
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// "http://127.0.0.1:9201"; for a wildcard address, the loopback address of its family.
  const std::string& url() const;

  /// Ends waits, lets answers under way go out, and closes the port. Idempotent.
  void stop();

 private:
  class Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hyperpod::emulator::admin
