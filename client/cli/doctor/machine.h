// SPDX-License-Identifier: Apache-2.0
// What the doctor looks at, so that a test can put something else there.
#pragma once

#include <chrono>
#include <string>

#include "cli/doctor/session_manager.h"
#include "hyperpod/client/config.h"
#include "transport/host_resolver.h"

namespace hyperpod::client::cli::doctor {

/// How long the doctor waits for anything.
struct Patience {
  std::chrono::milliseconds resolver{5000};
  std::chrono::milliseconds connection{3000};
  std::chrono::milliseconds answer{5000};
  /// A call of the round trip takes this or the configured timeout, whichever is shorter.
  std::chrono::milliseconds call{5000};
  std::chrono::milliseconds python{5000};
  /// A call that takes longer is remarked on.
  std::chrono::nanoseconds slow{std::chrono::milliseconds{100}};
};

struct Machine {
  Environment environment = process_environment();
  /// Where segments are. The round trip reads from /dev/shm all the same, as every client does.
  std::string shm_directory = "/dev/shm";
  std::string mountinfo = "/proc/self/mountinfo";
  std::string proc = "/proc";
  SessionManager session_manager = {};
  transport::HostResolver::LookUp resolver = transport::HostResolver::system_look_up;
  Patience patience = {};

  /// Whether this process runs in a Kubernetes pod.
  bool in_pod() const { return environment("KUBERNETES_SERVICE_HOST").has_value(); }
};

}  // namespace hyperpod::client::cli::doctor
