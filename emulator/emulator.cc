// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/emulator/emulator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

#include "admin/admin_server.h"
#include "admin/control.h"
#include "checkpoint/store.h"
#include "config/validate.h"
#include "core/engine.h"
#include "core/memory_limit.h"
#include "core/segment.h"
#include "core/segment_watch.h"
#include "http/server.h"
#include "hyperpod/base/unique_name.h"
#include "text/log.h"

namespace hyperpod::emulator {

namespace {

Error has_stopped() {
  return {ErrorCode::closed, "the emulator has been stopped; start another one"};
}

}  // namespace

class Emulator::Impl final : public admin::Control {
 public:
  Impl(Options with, core::Segment owned)
      : options_(std::move(with)),
        segment_(std::move(owned)),
        journal_(options_.journal_entries, options_.behaviour.miss_status),
        engine_(options_, segment_->mapping(), *options_.clock),
        checkpoints_(engine_,
                     {.latest_counts_incomplete = options_.behaviour.latest_counts_incomplete,
                      .retires_steps = options_.behaviour.retire_steps}) {}

  Result<void> start();
  void stop();

  const std::string& url() const override { return url_; }
  std::chrono::system_clock::time_point started() const override { return started_; }
  std::chrono::milliseconds uptime() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 started_steadily_);
  }
  const std::string& admin_url() const { return admin_url_; }
  std::uint16_t port() const { return server_->port(); }

  Statistics statistics() const override;
  State state() const {
    State state = engine_.state();
    state.namespaces = checkpoints_.namespaces();
    return state;
  }
  ObjectPage objects(std::uint64_t cursor, std::size_t most) const {
    return engine_.objects(cursor, most);
  }
  LeasePage leases(std::uint64_t cursor, std::size_t most) const {
    return engine_.leases(cursor, most);
  }
  BlockPage blocks(std::uint64_t first, std::size_t most) const override {
    return engine_.blocks(first, most);
  }
  MapState map() const override { return engine_.map(); }
  LiveState live(std::size_t most) const override { return engine_.live(most); }
  std::vector<NamespaceState> namespaces() const override { return checkpoints_.namespaces(); }
  SegmentState segment() const override;
  FaultPlan& faults() override { return faults_; }
  Journal& journal() override { return journal_; }
  Clock& clock() override { return *options_.clock; }
  const Options& options() const override { return options_; }
  bool ready() const override { return ready_; }
  /// Whether this is a copy in a child process, whose threads and locks belong to the parent.
  bool forked() const { return ::getpid() != owner_; }
  void reset(const ResetSelection& selection) override;
  Result<void> cause(const Effects& effects) override;

 private:
  Result<void> restart();
  Result<void> recreate_segment();
  Result<void> logged(Result<void> result) const;
  Result<void> cause_to_segment(const Effects& effects);
  void watch_segment();
  void follow_segment();   // with segment_mutex_ held
  void look_at_segment();  // likewise

  const pid_t owner_ = ::getpid();
  const Options options_;
  const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point started_steadily_ = std::chrono::steady_clock::now();
  mutable std::mutex segment_mutex_;      // guards the four below
  std::optional<core::Segment> segment_;  // gone once stopped
  std::optional<core::SegmentWatch> watch_;
  bool segment_lost_ = false;       // its name or its memory, and that has been logged
  std::uint64_t times_hidden_ = 0;  // by empty_segment
  std::atomic<std::uint64_t> segment_losses_{0};
  FaultPlan faults_;
  Journal journal_;
  core::Engine engine_;
  checkpoint::Store checkpoints_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::string url_;
  std::string admin_url_;
  std::mutex stop_mutex_;
  std::atomic<bool> ready_{false};
};

Result<void> Emulator::Impl::start() {
  engine_.observe_leases([this](const LeaseChange& change) { journal_.count(change); });
  // In force before the first connection is accepted.
  if (auto planned = faults_.replace(options_.faults); !planned) return planned;
  auto server = http::Server::start({.options = options_,
                                     .engine = engine_,
                                     .checkpoints = checkpoints_,
                                     .clock = *options_.clock,
                                     .faults = faults_,
                                     .journal = journal_,
                                     .cause = [this](const Effects& effects) { cause(effects); }});
  if (!server) return tl::make_unexpected(server.error());
  server_ = std::move(*server);
  url_ = server_->url();
  if (!options_.admin.empty()) {
    auto admin = admin::AdminServer::start(options_.admin, *this);
    if (!admin) return tl::make_unexpected(admin.error());
    admin_ = std::move(*admin);
    admin_url_ = admin_->url();
  }
  watch_segment();
  ready_ = true;
  text::log(options_.log, base::LogLevel::info, "serving {} with segment '{}' of {} bytes", url_,
            options_.shm_name, options_.capacity);
  return {};
}

void Emulator::Impl::stop() {
  std::lock_guard lock(stop_mutex_);
  if (!ready_.exchange(false)) return;
  server_->stop();
  if (admin_) admin_->stop();
  std::lock_guard segment_lock(segment_mutex_);
  segment_.reset();
  text::log(options_.log, base::LogLevel::info, "stopped {}", url_);
}

void Emulator::Impl::watch_segment() {
  auto watch = core::SegmentWatch::create();
  if (!watch) {
    text::log(options_.log, base::LogLevel::warn,
              "{}; that it has lost its name will be told when it is asked for, and not logged",
              watch.error().message);
    return;
  }
  std::lock_guard lock(segment_mutex_);
  watch_ = std::move(*watch);
  watch_->follow(segment_->path());
  server_->when_readable(watch_->descriptor(), [this] {
    std::lock_guard held(segment_mutex_);
    watch_->drain();
    look_at_segment();
  });
}

void Emulator::Impl::look_at_segment() {
  if (!segment_) return;
  const bool linked = segment_->linked();
  const bool lost = !linked || !segment_->intact();
  if (lost == std::exchange(segment_lost_, lost)) return;
  if (!lost) {
    text::log(options_.log, base::LogLevel::info, "{} leads to the segment again",
              segment_->path());
    return;
  }
  ++segment_losses_;
  const std::string_view what =
      linked
          ? "was truncated by another process: what it held is lost, and the next access to it "
            "may end the emulator; restart the emulator"
          : "no longer leads to the segment: it was removed or replaced, so no client can map it "
            "any more; restart the emulator";
  text::log(options_.log, base::LogLevel::error, "{} {}", segment_->path(), what);
}

Statistics Emulator::Impl::statistics() const {
  Statistics now = engine_.statistics();
  server_->add_to(now);
  now.segment_losses = segment_losses_;
  const checkpoint::Counters counters = checkpoints_.counters();
  now.namespaces = counters.namespaces;
  now.shards = counters.shards;
  now.shard_bytes = counters.bytes;
  now.shards_stored = counters.shards_stored;
  now.shards_retired = counters.shards_retired;
  return now;
}

SegmentState Emulator::Impl::segment() const {
  std::lock_guard lock(segment_mutex_);
  SegmentState state{.name = options_.shm_name, .size = options_.capacity};
  if (segment_) {
    state.inode = segment_->inode();
    state.mode = segment_->mode();
    state.linked = segment_->linked();
    state.intact = segment_->intact();
  }
  return state;
}

void Emulator::Impl::reset(const ResetSelection& selection) {
  if (selection.faults) faults_.clear();
  if (selection.objects) {
    engine_.drop_objects();
    checkpoints_.reset();
  }
  if (selection.leases) engine_.drop_leases();
  if (selection.journal) journal_.clear();
  if (selection.counters) {
    engine_.reset_counters();
    checkpoints_.reset_counters();
    server_->reset_counters();
    segment_losses_ = 0;
  }
}

void Emulator::Impl::follow_segment() {
  if (!segment_ || !watch_) return;
  watch_->follow(segment_->path());
  look_at_segment();  // the kernel tells nothing of a name that is given
}

Result<void> Emulator::Impl::logged(Result<void> result) const {
  if (!result) text::log(options_.log, base::LogLevel::error, "{}", result.error().message);
  return result;
}

Result<void> Emulator::Impl::restart() {
  checkpoint::Store::Contents shards;  // outlive the engine's lock, which they take as they go
  std::unique_lock held(segment_mutex_);
  if (!segment_) return tl::make_unexpected(has_stopped());
  // Reserved before anything ends: without memory for it nothing changes.
  if (auto prepared = segment_->prepare(); !prepared) return logged(prepared);
  Result<void> exchanged;
  // At one moment the name leads elsewhere, all leases, objects and shards end, and so do
  // connections: no lease is granted on bytes that a client would look for in the new segment, and
  // whoever connects again finds nothing that was.
  engine_.restart([&]() -> std::shared_ptr<core::Memory> {
    exchanged = segment_->exchange();
    if (!exchanged) return nullptr;
    shards = checkpoints_.take_all();
    server_->cut_connections();
    auto memory = segment_->mapping();
    held.unlock();  // what was is cleared away without it
    return memory;
  });
  if (!exchanged) return logged(exchanged);
  held.lock();
  follow_segment();
  return {};
}

Result<void> Emulator::Impl::recreate_segment() {
  std::lock_guard lock(segment_mutex_);
  if (!segment_) return tl::make_unexpected(has_stopped());
  if (auto renewed = segment_->renew(true); !renewed) return logged(renewed);
  follow_segment();
  engine_.replace_memory(segment_->mapping());
  return {};
}

Result<void> Emulator::Impl::cause(const Effects& wanted) {
  const Effects effects{
      .incident = wanted.incident, .lasting = wanted.lasting, .mode = wanted.mode};
  if (!effects.incident) {
    return tl::make_unexpected(
        Error{ErrorCode::invalid_option, "incident is missing; name what is to happen"});
  }
  if (auto valid = validate_fault({.name = "incident", .script = {effects}}); !valid) return valid;
  switch (*effects.incident) {
    case Incident::drop_objects:
      engine_.drop_objects();
      return {};
    case Incident::restart:
      return restart();
    case Incident::recreate_segment:
      return recreate_segment();
    default:
      return cause_to_segment(effects);
  }
}

Result<void> Emulator::Impl::cause_to_segment(const Effects& effects) {
  std::lock_guard lock(segment_mutex_);
  if (!segment_) return tl::make_unexpected(has_stopped());
  if (effects.incident == Incident::unlink_segment) {
    segment_->unlink_name();
    return {};
  }
  if (effects.incident == Incident::change_mode) return segment_->set_mode(*effects.mode);
  if (auto hidden = segment_->hide(); !hidden) return hidden;
  server_->after(effects.lasting, [this, number = ++times_hidden_] {
    std::lock_guard again(segment_mutex_);
    if (segment_ && number == times_hidden_) segment_->show();  // or a later one goes on
  });
  return {};
}

Options Options::for_test() {
  Options options;
  options.listen = "127.0.0.1:0";
  options.shm_name = base::unique_name(core::temporary_prefix);
  options.capacity = 64ull << 20;
  options.block_size = 64ull << 10;
  options.reserve = Reserve::on_use;
  options.remove_on_signals = true;
  options.threads = 1;
  return options;
}

Result<Emulator> Emulator::start(Options options) try {
  if (auto valid = config::validate(options); !valid) return tl::make_unexpected(valid.error());
  if (!options.clock) options.clock = std::make_shared<RealClock>();
  const bool whole = options.reserve == Reserve::whole;
  const auto concern = core::judge_memory_limit(options.capacity, whole, core::memory_limit());
  if (!concern) return tl::make_unexpected(concern.error());
  if (!concern->empty()) text::log(options.log, base::LogLevel::warn, "{}", *concern);
  for (const std::string& name : core::remove_abandoned_segments()) {
    text::log(options.log, base::LogLevel::info, "removed segment '{}', left by a killed process",
              name);
  }
  if (options.remove_on_signals) {
    core::remove_segments_on(core::ending_signals(), core::Replace::defaults);
    core::remove_segments_on(core::stopping_signals, core::Replace::defaults);
  }
  auto segment = core::Segment::create({.name = options.shm_name,
                                        .size = options.capacity,
                                        .mode = options.shm_mode,
                                        .replace = options.replace_segment,
                                        .prefault = options.prefault,
                                        .reserve_unit = whole ? 0 : options.block_size});
  if (!segment) return tl::make_unexpected(segment.error());
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*segment));
  if (auto started = impl->start(); !started) return tl::make_unexpected(started.error());
  return Emulator(std::move(impl));
} catch (const std::exception& refused) {
  // What event loops and threads say when the system gives them nothing.
  return tl::make_unexpected(
      Error{ErrorCode::out_of_resources,
            fmt::format("cannot start: {}; raise the process's limits (ulimit) or lower threads",
                        refused.what())});
}

Emulator::Emulator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Emulator::Emulator(Emulator&&) noexcept = default;

Emulator& Emulator::operator=(Emulator&& other) noexcept {
  if (this != &other) {
    end();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Emulator::~Emulator() { end(); }

// In a child process even closing a descriptor would disturb the parent: both share one epoll
// instance. What is left goes with the child.
void Emulator::end() {
  if (!impl_) return;
  if (impl_->forked()) {
    static_cast<void>(impl_.release());
  } else {
    impl_->stop();
  }
}

const std::string& Emulator::url() const { return impl_->url(); }
const std::string& Emulator::admin_url() const { return impl_->admin_url(); }
std::uint16_t Emulator::port() const { return impl_->port(); }
const std::string& Emulator::shm_name() const { return impl_->options().shm_name; }
std::uint64_t Emulator::capacity() const { return impl_->options().capacity; }
Statistics Emulator::statistics() const { return impl_->statistics(); }
State Emulator::state() const { return impl_->state(); }
ObjectPage Emulator::objects(std::uint64_t cursor, std::size_t most) const {
  return impl_->objects(cursor, most);
}
LeasePage Emulator::leases(std::uint64_t cursor, std::size_t most) const {
  return impl_->leases(cursor, most);
}
SegmentState Emulator::segment() const { return impl_->segment(); }
FaultPlan& Emulator::faults() { return impl_->faults(); }
Journal& Emulator::journal() { return impl_->journal(); }
void Emulator::reset(const ResetSelection& selection) { impl_->reset(selection); }
Result<void> Emulator::cause(const Effects& effects) { return impl_->cause(effects); }
void Emulator::stop() {
  if (!impl_->forked()) impl_->stop();
}

}  // namespace hyperpod::emulator
