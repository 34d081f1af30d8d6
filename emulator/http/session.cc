#include "http/session.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cstring>

namespace hyperpod::emulator {
namespace {

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";
// How long a peer that was refused may go on sending before it is cut off.
constexpr std::chrono::seconds linger_time{2};
// A body that arrives faster than it is read lets other connections have their turn after so much.
constexpr std::uint64_t turn_bytes = 1ull << 20;
// Of a large body this much is let come together before it is read: fewer wakes, longer copies.
constexpr std::uint64_t gather_bytes = 512 * 1024;

/// Ends a lease that was granted to a request whose peer has gone away.
void give_back(Service& service, const std::optional<LeaseGrant>& grant) {
  if (grant && service.behaviour.drop_abandoned_waiters) service.engine.release(grant->id);
}

}  // namespace

/// A lease request that waits for its key.
struct Session::Held {
  explicit Held(PortCounters& shared) : counters(shared) {}
  ~Held() {
    if (decided) --counters.unsettled;
  }
  PortCounters& counters;
  Engine::WaiterId waiter = 0;
  bool decided = false;
  std::optional<LeaseGrant> grant;
};

/// Where the bytes of a body go: into a Put, or nowhere. What a Put refuses goes nowhere too.
class Session::Sink {
 public:
  Sink(Put* put, std::span<std::byte> scratch) : put_(put), scratch_(scratch) {}

  /// Where the next bytes are to be written; never empty.
  std::span<std::byte> window() {
    if (put_ == nullptr) return scratch_;
    if (const auto room = put_->window(); !room.empty()) return room;
    const auto more = put_->extend();
    if (more) return put_->window();
    refusal_ = more.error();
    put_ = nullptr;
    return scratch_;
  }

  void filled(std::size_t count) {
    if (put_ != nullptr) {
      put_->filled(count);
    } else {
      discarded_ += count;
    }
  }

  std::uint64_t discarded() const { return discarded_; }
  std::optional<PutRefusal> refusal() const { return refusal_; }

 private:
  Put* put_;
  const std::span<std::byte> scratch_;
  std::uint64_t discarded_ = 0;
  std::optional<PutRefusal> refusal_;
};

Session::Session(Service& service, Worker& worker, std::unique_ptr<Transport> transport)
    : service_(service),
      worker_(worker),
      transport_(std::move(transport)),
      in_(service.limits.head_bytes),
      event_(worker.io()) {
  event_.expires_at(SystemTimer::time_point::max());
  worker_.add(*this);
}

Session::~Session() { --service_.counters.open; }

void Session::start() {
  asio::co_spawn(
      worker_.io(), [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Session::finish() {
  finishing_ = true;
  keep_alive_ = false;
  if (phase_ == Phase::idle) close();
  if (phase_ == Phase::held && service_.engine.drop_waiter(held_->waiter)) {
    ++service_.counters.unsettled;
    hold_decided(std::nullopt);
  }
}

void Session::on_due() {
  // Too little may have come to end a gathering read, and yet be progress.
  if (gathering_ && transport_->available() > 0) {
    gather(false);
    worker_.arm(*this, service_.limits.stall_timeout);
  } else {
    close();
  }
}

void Session::close() {
  peer_gone_ = true;
  transport_->close();
  event_.cancel();
}

Awaitable<void> Session::run() {
  worker_.arm(*this, service_.limits.head_timeout);
  IoError ec;
  co_await transport_->handshake(ec);
  if (!ec) {
    while (co_await serve_next()) {
    }
    if (!peer_gone_) co_await linger();
  }
  close();
  // The watcher's read may still be on its way back.
  while (watching_) co_await event_.async_wait(resume_with(ec));
}

Awaitable<bool> Session::serve_next() {
  const auto head = co_await read_head();
  if (peer_gone_) co_return false;
  if (!head) {
    keep_alive_ = false;
    ++service_.counters.rejected;
    request_line_ = "an unreadable request";
    log(head.error());
    co_await send(head.error(), {.keep_alive = false});
    co_return false;
  }
  phase_ = Phase::busy;
  keep_alive_ = keep_alive_ && head->keep_alive;
  const bool http_1_0 = head->http_1_0;
  const bool wants_body = head->method != "HEAD";
  request_line_.assign(head->method).append(" ").append(head->target);
  const Answer answered = co_await answer(*head);
  if (!peer_gone_) {
    log(answered);
    co_await send(answered, {keep_alive_, http_1_0, wants_body});
  }
  held_.reset();
  phase_ = Phase::idle;
  co_return keep_alive_ && !peer_gone_;
}

// --- Reading
// --------------------------------------------------------------------------------------

Awaitable<bool> Session::read_more() {
  IoError ec;
  if (watching_) {
    while (watching_ && !peer_gone_) co_await event_.async_wait(resume_with(ec));
    co_return !peer_gone_;
  }
  const auto got = co_await transport_->read_some(in_.prepare(), {}, ec);
  in_.commit(got);
  if (ec) peer_gone_ = true;
  co_return !peer_gone_;
}

Awaitable<tl::expected<RequestHead, Answer>> Session::read_head() {
  const auto refuse = [](int status, std::string_view code, std::string_view message) {
    return tl::make_unexpected(refusal(status, code, message));
  };
  HeadScanner scanner;
  bool begun = false;
  while (true) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    while (!begun && in_.view().starts_with("\r\n")) in_.consume(2);
    const auto status = scanner.scan(in_.view());
    if (status == HeadScanner::Status::complete) break;
    if (status == HeadScanner::Status::malformed) {
      co_return refuse(400, "malformed_request", "The request is no HTTP/1.1 request.");
    }
    if (in_.full() && !scanner.has_request_line()) {
      co_return refuse(414, "target_too_long", "The request line is too long.");
    }
    if (in_.full()) co_return refuse(431, "head_too_large", "The request head is too large.");
    if (!begun) {
      begun = !in_.empty();
      worker_.arm(*this, begun ? service_.limits.head_timeout : service_.limits.idle_timeout);
    }
    if (!co_await read_more()) co_return tl::make_unexpected(Answer{});  // for nobody
  }
  const auto head = parse_head(in_.view().substr(0, scanner.length()), service_.limits);
  in_.consume(scanner.length());
  if (head) co_return *head;
  switch (head.error()) {
    case HeadError::too_many_headers:
      co_return refuse(431, "too_many_headers", "The request has too many headers.");
    case HeadError::unknown_coding:
      co_return refuse(501, "unknown_coding", "The only transfer coding known is chunked.");
    case HeadError::unknown_expect:
      co_return refuse(417, "unknown_expectation", "The only expectation known is 100-continue.");
    case HeadError::unknown_version:
      co_return refuse(505, "unknown_version", "Only HTTP/1.1 and HTTP/1.0 are served.");
    case HeadError::malformed:
      break;
  }
  co_return refuse(400, "malformed_request", "The request head is malformed or ambiguous.");
}

Awaitable<std::size_t> Session::receive_into(Sink& sink, std::uint64_t at_most) {
  auto window = sink.window();
  window = window.first(std::min<std::uint64_t>(window.size(), at_most));
  std::size_t got = 0;
  if (!in_.empty()) {
    got = std::min(window.size(), in_.view().size());
    std::memcpy(window.data(), in_.view().data(), got);
    in_.consume(got);
  } else {
    // What follows the window, if it comes along, is framing or the next request.
    const auto beyond = window.size() == at_most ? in_.prepare() : asio::mutable_buffer{};
    const auto wanted = asio::buffer(window.data(), window.size());
    IoError ec = asio::error::would_block;
    std::size_t read = 0;
    if (read_in_turn_ < turn_bytes) read = transport_->read_now(wanted, beyond, ec);
    if (ec == asio::error::would_block) {
      read_in_turn_ = 0;
      worker_.arm(*this, service_.limits.stall_timeout);
      read = co_await transport_->read_some(wanted, beyond, ec);
    }
    read_in_turn_ += read;
    got = std::min(read, window.size());
    in_.commit(read - got);
    if (ec) peer_gone_ = true;
  }
  sink.filled(got);
  co_return got;
}

Awaitable<Session::BodyEnd> Session::receive_counted(std::uint64_t length, Sink& sink) {
  gather(length > 2 * gather_bytes);
  auto end = BodyEnd::complete;
  while (length > 0 && end == BodyEnd::complete) {
    if (gathering_ && length < 2 * gather_bytes) gather(false);
    if (sink.discarded() > service_.limits.drain_bytes) {
      end = BodyEnd::unread;
    } else {
      length -= co_await receive_into(sink, length);
      if (peer_gone_) end = BodyEnd::cut;
    }
  }
  gather(false);
  co_return end;
}

void Session::gather(bool on) {
  if (gathering_ == on) return;
  gathering_ = on;
  transport_->expect(on ? gather_bytes : 1);
}

Awaitable<Session::BodyEnd> Session::receive_chunked(Sink& sink) {
  ChunkDecoder decoder;
  while (!peer_gone_) {
    auto input = in_.view();
    const auto event = decoder.next(input);
    in_.consume(in_.view().size() - input.size());
    switch (event) {
      case ChunkDecoder::Event::end:
        co_return BodyEnd::complete;
      case ChunkDecoder::Event::malformed:
        co_return BodyEnd::malformed;
      case ChunkDecoder::Event::data:
        if (sink.discarded() > service_.limits.drain_bytes) co_return BodyEnd::unread;
        decoder.data_taken(co_await receive_into(sink, decoder.data_left()));
        break;
      case ChunkDecoder::Event::need_more:
        worker_.arm(*this, service_.limits.stall_timeout);
        co_await read_more();
        break;
    }
  }
  co_return BodyEnd::cut;
}

Awaitable<Session::BodyEnd> Session::receive_body(const RequestHead& head, Sink& sink) {
  if (head.chunked) return receive_chunked(sink);
  return receive_counted(head.content_length.value_or(0), sink);
}

Awaitable<void> Session::discard_body(const RequestHead& head) {
  if (!head.has_body()) co_return;
  // A peer that asked before sending need not send; whether it does cannot be told.
  if (head.expects_continue || head.content_length > service_.limits.drain_bytes) {
    keep_alive_ = false;
    co_return;
  }
  Sink nowhere(nullptr, worker_.scratch());
  if (co_await receive_body(head, nowhere) != BodyEnd::complete) keep_alive_ = false;
}

// --- Answering
// ------------------------------------------------------------------------------------

Awaitable<Answer> Session::answer(const RequestHead& head) {
  const auto routed = route(head.method, head.target, service_.behaviour);
  if (routed && routed->operation == Operation::put) co_return co_await put(head, *routed);
  co_await discard_body(head);
  if (peer_gone_) co_return Answer{};  // for nobody
  if (!routed) {
    const auto& [error, message] = routed.error();
    if (error == RouteError::not_found) co_return refusal(404, "not_found", message);
    ++service_.counters.rejected;
    co_return refusal(400, "malformed_request", message);
  }
  if (routed->operation == Operation::acquire) co_return co_await acquire(*routed);
  co_return release(*routed);
}

Awaitable<Answer> Session::put(const RequestHead& head, const Route& route) {
  const Behaviour& behaviour = service_.behaviour;
  if (head.chunked && !behaviour.accept_chunked) {
    co_await discard_body(head);
    co_return refusal(411, "length_required", "A PUT needs a Content-Length.");
  }
  if (head.expects_continue && !behaviour.honour_expect) {
    keep_alive_ = false;
    co_return refusal(417, "unknown_expectation", "Send the body without Expect.");
  }
  auto size = head.content_length;
  if (!head.chunked && !size) size = 0;
  const auto put = service_.engine.begin_put(route.bucket, route.key, size);
  if (!put) {
    if (put.error() == PutRefusal::too_large) {
      keep_alive_ = false;  // answered before the body is read
    } else {
      co_await discard_body(head);
    }
    co_return refused(put.error());
  }
  if (head.expects_continue) {
    IoError ec;
    co_await transport_->write(continue_line, ec);
  }
  Sink sink(put->get(), worker_.scratch());
  const auto end = co_await receive_body(head, sink);
  if (end != BodyEnd::complete) keep_alive_ = false;
  if (sink.refusal()) co_return refused(*sink.refusal());
  if (end == BodyEnd::malformed) {
    co_return refusal(400, "malformed_body", "The chunked body is malformed.");
  }
  if (end == BodyEnd::cut) co_return Answer{};  // for nobody
  if ((*put)->bytes_written() == 0) co_return refused(PutRefusal::empty);
  if ((*put)->commit() == PutOutcome::exists) co_return refused(PutRefusal::exists);
  co_return stored();
}

Answer Session::refused(PutRefusal why) const {
  const Behaviour& behaviour = service_.behaviour;
  switch (why) {
    case PutRefusal::exists:
      return refusal(409, "exists", "The key is stored already; its bytes stay as they are.");
    case PutRefusal::empty:
      return refusal(behaviour.empty_put_status, "empty", "An object has at least one byte.");
    case PutRefusal::too_large:
      return refusal(behaviour.too_large_status, "too_large",
                     "The object is larger than the whole segment.");
    case PutRefusal::no_room:
      break;
  }
  return refusal(behaviour.no_room_status, "no_room",
                 "No room can be made: what is stored is pinned by leases.");
}

Awaitable<Answer> Session::acquire(const Route& route) {
  std::optional<LeaseGrant> lease;
  if (route.hold > std::chrono::milliseconds::zero()) {
    lease = co_await hold(route);
  } else {
    lease = service_.engine.acquire(route.bucket, route.key, route.ttl);
  }
  if (lease) co_return granted(*lease);
  co_return refusal(service_.behaviour.miss_status, "absent", "The key is not stored.");
}

Answer Session::release(const Route& route) {
  const auto id = LeaseId::parse(route.lease_id);
  if (service_.engine.release(id.value_or(LeaseId{}))) return released();
  return refusal(service_.behaviour.unknown_release_status, "unknown_lease",
                 "No live lease has this id; it was released or has expired.");
}

// --- Holding
// --------------------------------------------------------------------------------------

Awaitable<std::optional<LeaseGrant>> Session::hold(const Route& route) {
  // The engine decides on any thread; the decision travels to the worker's.
  auto handler = [weak = weak_from_this(), &service = service_,
                  &io = worker_.io()](std::optional<LeaseGrant> grant) {
    ++service.counters.unsettled;
    asio::post(io, [weak, &service, grant = std::move(grant)]() mutable {
      if (const auto session = weak.lock()) {
        session->hold_decided(std::move(grant));
      } else {
        give_back(service, grant);
        --service.counters.unsettled;
      }
    });
  };
  held_ = std::make_unique<Held>(service_.counters);
  auto outcome =
      service_.engine.hold(route.bucket, route.key, route.ttl, route.hold, std::move(handler));
  if (auto* grant = std::get_if<LeaseGrant>(&outcome)) co_return std::move(*grant);

  held_->waiter = std::get<Engine::WaiterId>(outcome);
  phase_ = Phase::held;
  disarm();
  if (!watching_ && !in_.full()) {
    watching_ = true;
    asio::co_spawn(
        worker_.io(), [self = shared_from_this()] { return self->watch_peer(); }, asio::detached);
  }
  IoError ec;
  while (!held_->decided && !peer_gone_) co_await event_.async_wait(resume_with(ec));
  phase_ = Phase::busy;
  if (peer_gone_ && service_.behaviour.drop_abandoned_waiters) {
    service_.engine.drop_waiter(held_->waiter);
    if (held_->decided) give_back(service_, held_->grant);
  }
  co_return std::move(held_->grant);
}

void Session::hold_decided(std::optional<LeaseGrant> grant) {
  // Too late if the peer went away between the decision and its arrival here.
  if (phase_ != Phase::held) {
    give_back(service_, grant);
    --service_.counters.unsettled;
    return;
  }
  held_->decided = true;
  held_->grant = std::move(grant);
  event_.cancel();
}

/// Reads on while a request is held, to notice when the peer goes away. Requests that it pipelines
/// meanwhile wait in the input buffer.
Awaitable<void> Session::watch_peer() {
  do {
    IoError ec;
    in_.commit(co_await transport_->read_some(in_.prepare(), {}, ec));
    if (ec) peer_gone_ = true;
  } while (phase_ == Phase::held && !peer_gone_ && !in_.full());
  watching_ = false;
  event_.cancel();
}

// --- Sending
// --------------------------------------------------------------------------------------

Awaitable<void> Session::send(const Answer& answer, WireForm form) {
  ++service_.counters.requests;
  out_.clear();
  append_wire_form(answer, form, out_);
  worker_.arm(*this, service_.limits.stall_timeout);
  IoError ec;
  co_await transport_->write(out_, ec);
  if (ec) peer_gone_ = true;
}

Awaitable<void> Session::linger() {
  co_await transport_->shutdown_send();
  if (finishing_ || watching_) co_return;
  // Closing with input unread would reset the connection, and might take the answer with it.
  worker_.arm(*this, linger_time);
  std::uint64_t discarded = 0;
  IoError ec;
  while (!ec && discarded < service_.limits.drain_bytes) {
    const auto scratch = worker_.scratch();
    discarded +=
        co_await transport_->read_some(asio::buffer(scratch.data(), scratch.size()), {}, ec);
  }
}

void Session::log(const Answer& answer) const {
  if (service_.logger == nullptr) return;
  // Misses and duplicates are everyday answers; the rest of the refusals somebody wants to see.
  const bool everyday = answer.status < 400 || answer.status == 409 ||
                        answer.status == service_.behaviour.miss_status;
  service_.logger->log(everyday ? spdlog::level::debug : spdlog::level::info, "{} {}: {}{}",
                       answer.status, request_line_, answer.status < 400 ? "ok" : "refused ",
                       answer.status < 400 ? "" : answer.body);
}

}  // namespace hyperpod::emulator
