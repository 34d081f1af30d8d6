// SPDX-License-Identifier: Apache-2.0
#include "admin/admin_server.h"

#include <utility>

#include "admin/endpoints.h"
#include "admin/http_front.h"
#include "text/log.h"

namespace hyperpod::emulator::admin {

class AdminServer::Impl {
 public:
  explicit Impl(Control& control) : endpoints(control) {}

  Endpoints endpoints;
  std::unique_ptr<HttpFront> front;
};

Result<std::unique_ptr<AdminServer>> AdminServer::start(const std::string& address,
                                                        Control& control) {
  auto impl = std::make_unique<Impl>(control);
  auto front = HttpFront::start(
      address,
      [endpoints = &impl->endpoints](const AdminRequest& request) {
        return endpoints->answer(request);
      },
      [](int status, const std::string& message) {
        return error_to_json({status, message, ""});
      });
  if (!front) return tl::make_unexpected(front.error());
  impl->front = std::move(*front);
  const auto& log = control.options().log;
  text::log(log, base::LogLevel::info, "admin port on {}", impl->front->url());
  if (!impl->front->loopback()) {
    text::log(log, base::LogLevel::warn,
              "the admin port, {}, is open to other machines, and anybody there can cause faults "
              "and reset; listen on 127.0.0.1 unless that is wanted",
              address);
  }
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() { stop(); }
const std::string& AdminServer::url() const { return impl_->front->url(); }

void AdminServer::stop() {
  impl_->endpoints.stop();
  impl_->front->stop();
}

}  // namespace hyperpod::emulator::admin
