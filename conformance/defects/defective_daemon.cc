// SPDX-License-Identifier: Apache-2.0
#include "defects/defective_daemon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;

tl::unexpected<Error> failed(std::string message) {
  return tl::unexpected(Error{ErrorCode::failed, std::move(message)});
}

/// The id in a grant, without more parsing than that takes.
std::string id_in(const std::string& body) {
  constexpr std::string_view before = "\"id\":\"";
  const auto begin = body.find(before);
  if (begin == std::string::npos) return "";
  const auto end = body.find('"', begin + before.size());
  return body.substr(begin + before.size(), end - begin - before.size());
}

}  // namespace

std::string id_of(const ResponseMessage& grant) {
  const auto begin = grant.body.find(R"("id":")") + 6;
  return grant.body.substr(begin, grant.body.find('"', begin) - begin);
}

std::optional<Response> DirectAccess::ask(const std::string& method, const std::string& target) {
  const TimePoint deadline = now() + 5s;
  auto connection = Connection::open({false, "127.0.0.1", port_}, deadline);
  if (!connection) return std::nullopt;
  const std::string request =
      method + " " + target +
      " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  if (!connection->send(request, deadline)) return std::nullopt;
  std::string received;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto got = connection->receive(buffer, deadline);
    if (!got) return std::nullopt;
    received.append(buffer.data(), *got);
    auto parsed = parse_response(received, *got == 0);
    if (!parsed) return std::nullopt;
    if (*parsed) return (*parsed)->response;
  }
}

std::string DirectAccess::pin(const std::string& object) {
  const auto granted = ask("POST", object + "/leases?timeout_ms=0&ttl_s=600.0");
  return granted ? id_in(granted->body) : "";
}

void DirectAccess::release(const std::string& lease_id) {
  (void)ask("POST", "/v1/leases/" + lease_id + "/release");
}

std::span<char> DirectAccess::segment() {
  if (!segment_.empty()) return segment_;
  const int fd = ::shm_open(("/" + shm_name_).c_str(), O_RDWR, 0);
  if (fd < 0) return {};
  struct stat status {};
  ::fstat(fd, &status);
  void* data = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE,
                      MAP_SHARED, fd, 0);
  ::close(fd);
  if (data != MAP_FAILED)
    segment_ = {static_cast<char*>(data), static_cast<std::size_t>(status.st_size)};
  return segment_;
}

void DirectAccess::later(std::chrono::milliseconds delay, std::function<void()> action) {
  proxy_->later(delay, std::move(action));
}

DirectAccess::~DirectAccess() {
  if (!segment_.empty()) ::munmap(segment_.data(), segment_.size());
}

Result<std::unique_ptr<DefectiveDaemon>> DefectiveDaemon::start(
    const std::function<void(DaemonSetup&)>& configure) {
  DaemonSetup setup;
  setup.options = emulator::Options::for_test();
  setup.direct = std::make_shared<DirectAccess>();
  setup.direct->shm_name_ = setup.options.shm_name;
  configure(setup);
  std::unique_ptr<DefectiveDaemon> daemon(new DefectiveDaemon(std::move(setup)));
  DaemonSetup& kept = daemon->setup_;
  if (kept.options.tls.self_signed_directory == "temporary") {
    daemon->tls_directory_ =
        std::filesystem::temp_directory_path() / ("tls-" + kept.options.shm_name);
    std::filesystem::create_directory(daemon->tls_directory_);
    kept.options.tls.self_signed_directory = daemon->tls_directory_;
  }
  if (auto started = daemon->start_emulator(); !started) return tl::unexpected(started.error());
  if (kept.mutation) {
    daemon->proxy_ = std::make_unique<MutatingProxy>(daemon->emulator_->port(), *kept.mutation);
    kept.direct->proxy_ = daemon->proxy_.get();
  }
  return daemon;
}

DefectiveDaemon::~DefectiveDaemon() {
  proxy_.reset();
  emulator_.reset();
  std::error_code ignored;
  if (!tls_directory_.empty()) std::filesystem::remove_all(tls_directory_, ignored);
  ::shm_unlink(("/" + setup_.options.shm_name).c_str());  // where a defect made it again
}

Result<void> DefectiveDaemon::start_emulator() {
  auto emulator = emulator::Emulator::start(setup_.options);
  if (!emulator) return failed(emulator.error().message);
  emulator_.emplace(*std::move(emulator));
  setup_.direct->port_ = emulator_->port();
  return {};
}

Result<void> DefectiveDaemon::restart() {
  if (!setup_.restarts) return {};
  const std::uint16_t port = emulator_->port();
  emulator_.reset();
  if (!proxy_) {
    // Clients know the port.
    std::string& listen = setup_.options.listen;
    listen.replace(listen.rfind(':') + 1, std::string::npos, std::to_string(port));
  }
  if (auto started = start_emulator(); !started) return started;
  if (proxy_) proxy_->redirect(emulator_->port());
  return {};
}

daemon::Target DefectiveDaemon::target() {
  daemon::Target target;
  target.endpoint.tls = setup_.options.tls.enabled();
  target.endpoint.host = setup_.host;
  target.endpoint.port = proxy_ ? proxy_->port() : emulator_->port();
  target.shm_name = setup_.options.shm_name;
  target.capacity = setup_.told_capacity != 0 ? setup_.told_capacity : setup_.options.capacity;
  if (!tls_directory_.empty()) target.tls.ca_file = tls_directory_ + "/ca.pem";
  target.allow_reset = true;
  target.restart = [this] { return restart(); };
  return target;
}

std::span<const Defect> all_defects() {
  static const std::vector<Defect> all = [] {
    std::vector<Defect> joined;
    for (auto& chapter : {store_defects(), key_defects(), lease_defects(), memory_defects(),
                          http_defects(), checkpoint_defects()}) {
      joined.insert(joined.end(), chapter.begin(), chapter.end());
    }
    return joined;
  }();
  return all;
}

}  // namespace hyperpod::conformance::defects
