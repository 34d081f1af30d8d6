// SPDX-License-Identifier: Apache-2.0
#include "client/other_segment.h"

#include <filesystem>
#include <system_error>

namespace hyperpod::conformance::client {

OtherSegment::OtherSegment(TestDaemon& daemon, TestDaemon& next)
    : path_(daemon.segment_path()), aside_(path_ + "-aside") {
  proxy::Mutation replacing;
  replacing.response = [due = due_, path = path_, aside = aside_, other = next.segment_path()](
                           const proxy::ReceivedRequest& asked, proxy::ResponseMessage& response) {
    if (!asked.head.is_acquire() || response.status != 200 || !due->exchange(false)) return;
    // The name leads somewhere at every moment, as it does where rename() puts a new segment there.
    std::error_code failed;
    std::filesystem::create_hard_link(path, aside, failed);
    std::filesystem::create_hard_link(other, aside + "-next", failed);
    std::filesystem::rename(aside + "-next", path, failed);
  };
  proxy_ = std::make_unique<proxy::MutatingProxy>(daemon.emulator().port(), std::move(replacing));
}

OtherSegment::~OtherSegment() {
  proxy_.reset();
  std::error_code absent;
  std::filesystem::rename(aside_, path_, absent);
}

std::string OtherSegment::url() const {
  return "http://127.0.0.1:" + std::to_string(proxy_->port());
}

}  // namespace hyperpod::conformance::client
