#include "admin/admin_server.h"

#include <utility>

#include "admin/endpoints.h"
#include "admin/http_front.h"

namespace hyperpod::emulator {

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
  if (auto* logger = control.options().logger.get()) {
    const std::string& url = impl->front->url();
    logger->info("admin port on {}", url);
    if (!impl->front->loopback()) {
      logger->warn(
          "the admin port, {}, is open to other machines, and anybody there can cause faults and "
          "reset; listen on 127.0.0.1 unless that is wanted",
          address);
    }
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

}  // namespace hyperpod::emulator
