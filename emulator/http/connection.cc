// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstring>
#include <exception>
#include <utility>

namespace hyperpod::emulator::http {
namespace {

// How long a peer that was refused may go on sending before it is cut off.
constexpr std::chrono::seconds linger_time{2};
// A limited rate is kept by a pause after each slice of this much time.
constexpr std::chrono::milliseconds pace_slice{50};

}  // namespace

class Connection::Pause final : public core::Timer {
 public:
  explicit Pause(Connection& connection) : connection_(connection) {}
  bool over() const { return over_; }

 private:
  void on_due() override {
    over_ = true;
    connection_.unsettle();
    connection_.wake();
  }

  Connection& connection_;
  bool over_ = false;
};

Connection::Connection(Worker& worker, const Limits& limits, PortCounters& counters,
                       std::unique_ptr<Transport> transport)
    : worker_(worker),
      limits_(limits),
      counters_(counters),
      transport_(std::move(transport)),
      in_(limits.head_bytes),
      restarts_(counters.restarts) {
  worker_.add(*this);
}

Connection::~Connection() { settle(); }

void Connection::start() {
  asio::co_spawn(
      worker_.io(), [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Connection::finish() {
  finishing_ = true;
  if (idle_) close();
  end_waits();
  wake();
}

Awaitable<void> Connection::run() {
  limit_time(limits_.head_timeout);
  IoError ec;
  co_await transport_->handshake(ec);
  if (!ec) {
    co_await serve();
    if (!peer_gone_) co_await linger();
  }
  close();
  stop_watching();
  while (watching_) co_await wait();
}

// Most requests only move the limit a little, which is not worth finding another place in the
// wheel.
void Connection::limit_time(TimePoint from, Duration limit) {
  time_limit_ = from + limit;
  if (!armed() || due() > time_limit_) worker_.arm(*this, time_limit_);
}

void Connection::on_due() {
  if (worker_.clock().now() < time_limit_) return worker_.arm(*this, time_limit_);
  // Too little may have come to end a gathering read, and yet be progress.
  if (gathering_ && transport_->available() > 0) {
    gather(false);
    limit_time(limits_.stall_timeout);
  } else {
    unsettle();
    close();
  }
}

void Connection::close() {
  if (!std::exchange(peer_gone_, true)) closed_ = true;
  transport_->close();
  wake();
}

void Connection::reset() {
  transport_->reset();
  close();
}

Awaitable<void> Connection::linger() {
  transport_->shutdown_send();
  if (finishing_ || watching_) co_return;
  idle_ = true;  // nothing is left to be answered
  // Closing with input unread would reset the connection, and might take the response with it.
  limit_time(linger_time);
  std::uint64_t discarded = 0;
  IoError ec;
  while (!ec && discarded < limits_.drain_bytes) {
    const auto scratch = worker_.scratch();
    discarded +=
        co_await transport_->read_some(asio::buffer(scratch.data(), scratch.size()), {}, ec);
  }
}

// --- Reading
// --------------------------------------------------------------------------------------

Awaitable<void> Connection::yield() {
  passed_in_turn_ = 0;
  return worker_.yield();
}

bool Connection::receive_now() try {
  const auto room = worker_.first_read().first(std::min(worker_.first_read().size(), in_.limit()));
  IoError ec;
  const auto got = transport_->read_now(asio::buffer(room.data(), room.size()), {}, ec);
  if (ec == asio::error::would_block) return true;
  if (ec) {
    peer_gone_ = true;
    return false;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(room.data()), got);
  const auto served = serve_now(bytes);
  if (served == Served::not_at_all) in_.append(bytes);
  return served == Served::all;
} catch (const std::exception&) {  // of memory; what leaves serve() ends the connection, too
  close();
  return false;
}

std::size_t Connection::read_now(std::span<std::byte> window) {
  IoError ec;
  const auto got = transport_->read_now(asio::buffer(window.data(), window.size()), {}, ec);
  if (ec && ec != asio::error::would_block) peer_gone_ = true;
  return got;
}

Awaitable<bool> Connection::read_more() {
  if (watching_) {
    // A background read is under way, and the next bytes are its.
    while (watching_ && !peer_gone_) co_await wait();
    co_return !peer_gone_;
  }
  IoError ec;
  const auto got = co_await begin_read(ec);
  end_read(got, ec);
  co_return !peer_gone_;
}

Awaitable<std::size_t> Connection::read_body(std::span<std::byte> window, bool ends_here) {
  window = window.first(slice(window.size()));
  std::size_t got = 0;
  if (in_.empty() && watching_) {
    // The watcher's read came first, and what it gets is the front of the body.
    limit_time(limits_.stall_timeout);
    co_await read_more();
  }
  if (!in_.empty()) {
    got = std::min(window.size(), in_.view().size());
    std::memcpy(window.data(), in_.view().data(), got);
    in_.consume(got);
  } else if (!peer_gone_) {
    if (passed_in_turn_ >= worker_.turn_bytes()) co_await yield();
    const auto rest_of_turn = worker_.turn_bytes() - passed_in_turn_;
    const bool whole = window.size() <= rest_of_turn;
    if (!whole) window = window.first(rest_of_turn);
    const auto beyond = ends_here && whole && pace_ == 0 ? in_.prepare() : asio::mutable_buffer{};
    const auto wanted = asio::buffer(window.data(), window.size());
    IoError ec;
    std::size_t read = transport_->read_now(wanted, beyond, ec);
    if (ec == asio::error::would_block) {
      passed_in_turn_ = 0;
      limit_time(limits_.stall_timeout);
      read = co_await transport_->read_some(wanted, beyond, ec);
    }
    passed_in_turn_ += read;
    got = std::min(read, window.size());
    in_.commit(read - got);
    if (ec) peer_gone_ = true;
  }
  if (pace_ > 0) co_await keep_pace(got);
  co_return got;
}

void Connection::gather(bool on) {
  if (gathering_ == on) return;
  gathering_ = on;
  transport_->expect(on ? gather_bytes : 1);
}

void Connection::watch() {
  wants_watching_ = true;
  if (watching_) return;
  if (in_.full()) return transport_->tell_end(*this);
  watching_ = true;
  asio::co_spawn(
      worker_.io(), [self = shared_from_this()] { return self->keep_watching(); }, asio::detached);
}

Awaitable<void> Connection::keep_watching() {
  do {
    IoError ec;
    const auto got = co_await begin_read(ec);
    end_read(got, ec);
  } while (wants_watching_ && !peer_gone_ && !in_.full());
  watching_ = false;
  if (in_.full()) transport_->tell_end(*this);
  wake();
}

void Connection::peer_ended() {
  if (!wants_watching_ || !in_.full()) return;  // a read will tell, when its turn has come
  peer_gone_ = true;
  wake();
}

// --- Waiting
// --------------------------------------------------------------------------------------

Awaitable<void> Connection::wait() { return event_.wait(); }

Awaitable<void> Connection::pause(Duration time, bool watches) {
  settle();
  lift_time_limit();
  Pause pause(*this);
  worker_.arm(pause, worker_.clock().now() + time);
  if (watches) watch();
  while (!pause.over() && !peer_gone_ && !finishing_) co_await wait();
  stop_watching();
}

void Connection::unsettle() {
  if (!std::exchange(unsettled_, true)) ++counters_.unsettled;
}

void Connection::settle() {
  if (std::exchange(unsettled_, false)) --counters_.unsettled;
}

// --- Sending
// --------------------------------------------------------------------------------------

std::string_view Connection::write_now(std::string_view bytes) {
  if (pace_ > 0 || peer_gone_) return bytes;
  IoError ec;
  const auto sent = transport_->write_now(bytes, ec);
  if (ec) peer_gone_ = true;
  return bytes.substr(sent);
}

Awaitable<void> Connection::write(std::string_view bytes) {
  if (passed_in_turn_ >= worker_.turn_bytes()) co_await yield();
  const auto rest = write_now(bytes);
  passed_in_turn_ += bytes.size() - rest.size();
  bytes = rest;
  while (!bytes.empty() && !peer_gone_) {
    passed_in_turn_ = 0;
    const auto part = bytes.substr(0, slice(bytes.size()));
    bytes.remove_prefix(part.size());
    limit_time(limits_.stall_timeout);
    IoError ec;
    co_await transport_->write(part, ec);
    if (ec) peer_gone_ = true;
    if (pace_ > 0) co_await keep_pace(part.size());
  }
}

std::size_t Connection::slice(std::size_t wanted) const {
  if (pace_ == 0) return wanted;
  const auto part = pace_ * static_cast<std::uint64_t>(pace_slice.count()) / 1000;
  return std::min<std::size_t>(wanted, std::max<std::uint64_t>(part, 1));
}

Awaitable<void> Connection::keep_pace(std::size_t bytes) {
  const std::chrono::duration<double> owed(static_cast<double>(bytes) / static_cast<double>(pace_));
  co_await pause(std::chrono::duration_cast<Duration>(owed), false);
}

}  // namespace hyperpod::emulator::http
