// SPDX-License-Identifier: Apache-2.0
// Whether this machine's session manager (systemd-logind) removes a user's shared memory once the
// last session of that user ends.
#pragma once

#include <sys/types.h>

#include <string>

namespace hyperpod::client::cli::doctor {

/// Where systemd-logind keeps what this needs to know.
struct SessionManager {
  /// Holds logind.conf and logind.conf.d.
  std::string configuration = "/etc/systemd";
  /// Is there while logind runs.
  std::string state = "/run/systemd/seats";

  /// Whether it removes the segments of this user. It spares those of system users, with uids below
  /// 1000, and all of them with RemoveIPC=no; yes is the default (logind.conf(5)).
  bool removes_segments_of(uid_t uid) const;
};

}  // namespace hyperpod::client::cli::doctor
