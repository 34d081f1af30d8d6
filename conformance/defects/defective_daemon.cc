#include "defects/defective_daemon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

tl::unexpected<Error> failed(std::string message) {
  return tl::unexpected(Error{ErrorCode::system, std::move(message)});
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

std::optional<Answer> Backstage::ask(const std::string& method, const std::string& target) {
  const Moment deadline = now() + 5s;
  auto connection = Connection::open({false, "127.0.0.1", port_}, deadline);
  if (!connection) return std::nullopt;
  const std::string request =
      method + " " + target +
      " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  if (!connection->send(request, deadline)) return std::nullopt;
  std::string received;
  std::array<char, 4096> buffer;
  while (true) {
    const auto got = connection->receive(buffer, deadline);
    if (!got) return std::nullopt;
    received.append(buffer.data(), *got);
    auto parsed = parse_answer(received, *got == 0);
    if (!parsed) return std::nullopt;
    if (*parsed) return (*parsed)->answer;
  }
}

std::string Backstage::pin(const std::string& object) {
  const auto granted = ask("POST", object + "/leases?timeout_ms=0&ttl_s=600.0");
  return granted ? id_in(granted->body) : "";
}

void Backstage::release(const std::string& lease_id) {
  (void)ask("POST", "/v1/leases/" + lease_id + "/release");
}

std::span<char> Backstage::segment() {
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

void Backstage::later(std::chrono::milliseconds delay, std::function<void()> action) {
  proxy_->later(delay, std::move(action));
}

Backstage::~Backstage() {
  if (!segment_.empty()) ::munmap(segment_.data(), segment_.size());
}

Result<std::unique_ptr<DefectiveDaemon>> DefectiveDaemon::start(
    const std::function<void(Making&)>& shape) {
  Making making;
  making.options = emulator::Options::for_test();
  making.backstage = std::make_shared<Backstage>();
  making.backstage->shm_name_ = making.options.shm_name;
  shape(making);
  std::unique_ptr<DefectiveDaemon> daemon(new DefectiveDaemon(std::move(making)));
  Making& made = daemon->making_;
  if (made.options.tls.self_signed_directory == "temporary") {
    daemon->tls_directory_ =
        std::filesystem::temp_directory_path() / ("tls-" + made.options.shm_name);
    std::filesystem::create_directory(daemon->tls_directory_);
    made.options.tls.self_signed_directory = daemon->tls_directory_;
  }
  if (auto started = daemon->start_emulator(); !started) return tl::unexpected(started.error());
  if (made.lie) {
    daemon->proxy_ = std::make_unique<LyingProxy>(daemon->emulator_->port(), *made.lie);
    made.backstage->proxy_ = daemon->proxy_.get();
  }
  return daemon;
}

DefectiveDaemon::~DefectiveDaemon() {
  proxy_.reset();
  emulator_.reset();
  std::error_code ignored;
  if (!tls_directory_.empty()) std::filesystem::remove_all(tls_directory_, ignored);
  ::shm_unlink(("/" + making_.options.shm_name).c_str());  // where a defect made it again
}

Result<void> DefectiveDaemon::start_emulator() {
  auto emulator = emulator::Emulator::start(making_.options);
  if (!emulator) return failed(emulator.error().message);
  emulator_.emplace(*std::move(emulator));
  making_.backstage->port_ = emulator_->port();
  return {};
}

Result<void> DefectiveDaemon::restart() {
  if (!making_.restarts) return {};
  const std::uint16_t port = emulator_->port();
  emulator_.reset();
  if (!proxy_) {
    // Clients know the port.
    std::string& listen = making_.options.listen;
    listen.replace(listen.rfind(':') + 1, std::string::npos, std::to_string(port));
  }
  if (auto started = start_emulator(); !started) return started;
  if (proxy_) proxy_->redirect(emulator_->port());
  return {};
}

Target DefectiveDaemon::target() {
  Target target;
  target.endpoint.tls = making_.options.tls.enabled();
  target.endpoint.host = making_.host;
  target.endpoint.port = proxy_ ? proxy_->port() : emulator_->port();
  target.shm_name = making_.options.shm_name;
  target.capacity = making_.told_capacity != 0 ? making_.told_capacity : making_.options.capacity;
  if (!tls_directory_.empty()) target.tls.ca_file = tls_directory_ + "/ca.pem";
  target.restart = [this] { return restart(); };
  return target;
}

std::span<const Defect> all_defects() {
  static const std::vector<Defect> all = [] {
    std::vector<Defect> joined;
    for (auto& chapter :
         {store_defects(), key_defects(), lease_defects(), memory_defects(), http_defects()}) {
      joined.insert(joined.end(), chapter.begin(), chapter.end());
    }
    return joined;
  }();
  return all;
}

}  // namespace hyperpod::conformance
