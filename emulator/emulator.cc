#include "hyperpod/emulator/emulator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "config/validate.h"
#include "core/engine.h"
#include "core/segment.h"
#include "http/server.h"

namespace hyperpod::emulator {

class Emulator::Impl {
 public:
  Impl(Options with, Segment owned)
      : options(std::move(with)),
        segment(std::move(owned)),
        engine(options, segment->memory(), *options.clock) {}

  const Options options;
  std::mutex stop_mutex;
  std::optional<Segment> segment;  // gone once stopped
  Engine engine;
  std::unique_ptr<Server> server;
  std::string url;
};

Options Options::for_test() {
  static std::atomic<unsigned> number{0};
  Options options;
  options.listen = "127.0.0.1:0";
  options.shm_name = fmt::format("hyperpod_test_{}_{}", ::getpid(), ++number);
  options.capacity = 64ull << 20;
  options.block_size = 64ull << 10;
  options.threads = 1;
  return options;
}

Result<Emulator> Emulator::start(Options options) {
  if (auto valid = validate(options); !valid) return tl::make_unexpected(valid.error());
  if (!options.clock) options.clock = std::make_shared<RealClock>();
  auto segment = Segment::create({options.shm_name, options.capacity, options.shm_mode,
                                  options.replace_segment, options.prefault});
  if (!segment) return tl::make_unexpected(segment.error());
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*segment));
  auto server = Server::start(impl->options, impl->engine, *impl->options.clock);
  if (!server) return tl::make_unexpected(server.error());
  impl->server = std::move(*server);
  impl->url = impl->server->url();
  if (auto* logger = impl->options.logger.get()) {
    logger->info("serving {} with segment '{}' of {} bytes", impl->url, impl->options.shm_name,
                 impl->options.capacity);
  }
  return Emulator(std::move(impl));
}

Emulator::Emulator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Emulator::Emulator(Emulator&&) noexcept = default;

Emulator& Emulator::operator=(Emulator&& other) noexcept {
  if (this != &other) {
    if (impl_) stop();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Emulator::~Emulator() {
  if (impl_) stop();
}

const std::string& Emulator::url() const { return impl_->url; }
std::uint16_t Emulator::port() const { return impl_->server->port(); }
const std::string& Emulator::shm_name() const { return impl_->options.shm_name; }
std::uint64_t Emulator::capacity() const { return impl_->options.capacity; }

Statistics Emulator::statistics() const {
  Statistics now = impl_->engine.statistics();
  impl_->server->add_to(now);
  return now;
}

void Emulator::stop() {
  std::lock_guard lock(impl_->stop_mutex);
  if (!impl_->segment) return;
  impl_->server->stop();
  impl_->segment.reset();
  if (auto* logger = impl_->options.logger.get()) logger->info("stopped {}", impl_->url);
}

}  // namespace hyperpod::emulator
