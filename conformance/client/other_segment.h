// SPDX-License-Identifier: Apache-2.0
// Another segment under a daemon's name, from the moment of a grant on: what a client meets whose
// daemon was restarted after it last looked.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "client/test_daemon.h"
#include "proxy/mutating_proxy.h"

namespace hyperpod::conformance::client {

/// A proxy in front of `daemon`. The name of the segment is given back at the end.
class OtherSegment {
 public:
  /// `next` lends its segment. Both outlive this.
  OtherSegment(TestDaemon& daemon, TestDaemon& next);
  ~OtherSegment();
  OtherSegment(const OtherSegment&) = delete;
  OtherSegment& operator=(const OtherSegment&) = delete;

  std::string url() const;
  /// The name leads to the segment of the other daemon before the next grant reaches the client.
  void replace_at_next_grant() { due_->store(true); }

 private:
  const std::string path_;
  const std::string aside_;  ///< The daemon's own segment meanwhile.
  std::shared_ptr<std::atomic<bool>> due_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<proxy::MutatingProxy> proxy_;
};

}  // namespace hyperpod::conformance::client
