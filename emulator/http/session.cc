// SPDX-License-Identifier: Apache-2.0
#include "http/session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "http/body_sink.h"
#include "http/chunk_decoder.h"
#include "journal/head.h"
#include "text/log.h"

namespace hyperpod::emulator::http {
namespace {

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

void count_abandoned(Service& service, std::uint64_t connection, const std::string& bucket) {
  ++service.counters.abandoned;
  service.journal.count({LeaseChange::What::abandoned, connection, bucket});
}

/// Ends a lease that was granted to a request whose peer has gone away.
void give_back(Service& service, const std::optional<core::LeaseGrant>& grant,
               std::uint64_t connection, const std::string& bucket) {
  if (!grant) return;
  if (service.options.behaviour.drop_abandoned_waiters) {
    service.engine.release(grant->id);
  } else {
    count_abandoned(service, connection, bucket);
  }
}

/// The head within `sent`, the beginning of the wire form of `response` or all of it.
std::string_view head_of(const Response& response, const WireForm& form, const std::string& wire,
                         std::string_view sent) {
  return sent.substr(0, wire.size() - (form.with_body ? response.body.size() : 0));
}

JournalOperation in_journal(Operation operation) {
  switch (operation) {
    case Operation::put:
      return JournalOperation::put;
    case Operation::acquire:
      return JournalOperation::lease;
    case Operation::release:
      return JournalOperation::release;
    case Operation::put_shard:
      return JournalOperation::checkpoint_put;
    case Operation::get_shard:
    case Operation::latest_steps:
      return JournalOperation::checkpoint_get;
    case Operation::delete_shard:
      return JournalOperation::checkpoint_delete;
    default:
      break;
  }
  return JournalOperation::checkpoint_namespace;
}

}  // namespace

/// A lease request that waits for its key.
struct Session::Wait {
  core::Engine::WaiterId waiter = 0;
  bool waiting = true;
  bool decided = false;
  std::optional<core::LeaseGrant> grant;
};

Session::Session(Service& service, Worker& worker, std::unique_ptr<Transport> transport,
                 std::uint64_t number)
    : Connection(worker, service.options.limits, service.counters, std::move(transport)),
      service_(service),
      behaviour_(service.options.behaviour),
      number_(number),
      peer_(peer()) {
  service_.journal.connection_opened(number_, peer_, worker.clock().now());
}

Session::Exchange& Session::own_exchange() {
  if (!own_exchange_) own_exchange_ = std::make_unique<Exchange>();
  return *own_exchange_;
}

Session::~Session() {
  service_.journal.connection_closed(number_, worker().clock().now());
  service_.closed();
}

Awaitable<void> Session::serve() {
  if (connect_fault_) {
    if (connect_fault_->delay.count() > 0) co_await pause(connect_fault_->delay, true);
    const Ending& ending = connect_fault_->effects.ending;
    if (std::holds_alternative<ResetConnection>(ending)) reset();
    if (std::holds_alternative<NeverRespond>(ending)) co_await stop_responding(true);
  }
  // One coroutine for all requests: a frame for each and its calls would not fit Asio's cache, and
  // be allocated each time.
  while (!peer_gone()) {
    set_idle(true);
    const bool pipelined = !input().empty();
    if (!pipelined && !watching()) {
      limit_time(service_.options.limits.idle_timeout);
      co_await wait_for_request();
      if (peer_gone()) break;
      if (!unsent_.empty()) {
        set_idle(false);
        co_await write(std::exchange(unsent_, {}));
        if (keep_alive_) continue;
      }
      if (!keep_alive_) break;
    }
    const auto head = co_await read_head();
    // A peer that sends many requests at once is served in turn with the others.
    if (pipelined && !peer_gone()) co_await yield();
    if (peer_gone()) break;
    set_idle(false);
    begin(own_exchange(), head ? *head : RequestHead{});
    exchange_->entry.time = std::chrono::system_clock::now();
    exchange_->entry.in_flight = ++service_.counters.in_flight;
    exchange_->counted = true;
    WireForm form;
    Response response;
    if (head) {
      keep_alive_ = keep_alive_ && head->keep_alive;
      form = {.http_1_0 = head->http_1_0, .with_body = head->method != "HEAD"};
      Route& asked = exchange_->route;
      const auto routed = route(head->method, head->target, behaviour_, asked);
      if (routed || routed.error().understood) note(asked);
      if (routed) exchange_->fault = fault_for(asked);
      if (auto at_once = respond_now(*head, routed)) {
        response = std::move(*at_once);
      } else {
        response = co_await respond(*head, routed);
      }
    } else {
      keep_alive_ = false;
      ++service_.counters.rejected;
      response = head.error();
    }
    form.keep_alive = keep_alive_;
    if (outlived()) close();
    if (!peer_gone()) {
      log(response);
      if (exchange_->fault || response.shard) {
        co_await send_response(response, form);
      } else {
        const auto rest = send_now(response, form);
        if (!rest.empty()) co_await write(rest);
      }
    }
    end();
    if (!keep_alive_) break;
  }
}

// Nearly every request comes alone and whole, and needs no waiting. What does not is left to
// serve().
Connection::Served Session::serve_now(std::string_view bytes) {
  if (!service_.faults.empty()) return Served::not_at_all;
  constexpr std::string_view end_of_head = "\r\n\r\n";
  std::size_t head_size = bytes.size();
  if (bytes.starts_with("PUT ")) {
    const auto end = bytes.find(end_of_head);
    if (end == bytes.npos) return Served::not_at_all;
    head_size = end + end_of_head.size();
  } else if (!bytes.ends_with(end_of_head)) {
    return Served::not_at_all;
  }
  // Whether it is one head and nothing behind it, the parser finds out.
  const auto head = parse_head(bytes.substr(0, head_size), service_.options.limits);
  if (!head) return Served::not_at_all;
  const auto begun = bytes.substr(head_size);
  if (!begun.empty() || head->has_body()) {
    if (head->method != "PUT" || !has_come(*head, begun.size())) return Served::not_at_all;
  }

  // One for all connections of the thread: the processor's cache has it from the last request.
  static thread_local Exchange shared;
  const auto routed = route(head->method, head->target, behaviour_, shared.route);
  if (!routed) return Served::not_at_all;
  head_in_input_ = bytes.substr(0, head_size);
  begin(shared, *head);
  // Nobody sees it under way, or only who is served meanwhile by another thread.
  shared.entry.in_flight = service_.counters.in_flight + 1;
  shared.counted = false;
  note(shared.route);
  auto response = head->has_body() ? std::optional(put_now(*head, shared.route, begun))
                                   : respond_now(*head, routed);
  if (!response) return Served::not_at_all;
  keep_alive_ = keep_alive_ && head->keep_alive;
  if (outlived()) close();
  if (!peer_gone()) {
    log(*response);
    const WireForm form{.keep_alive = keep_alive_, .http_1_0 = head->http_1_0};
    const auto rest = send_now(*response, form);
    if (!rest.empty()) unsent_ = own_exchange().out.assign(rest);
    limit_time(shared.entry.at, service_.options.limits.idle_timeout);
  }
  shared.body = std::move(response->body);
  end();
  return unsent_.empty() && keep_alive_ && !peer_gone() ? Served::all : Served::in_part;
}

void Session::end_waits() {
  keep_alive_ = false;
  if (wait_ && wait_->waiting && service_.engine.drop_waiter(wait_->waiter)) {
    wait_decided(std::nullopt, {});
  }
}

void Session::begin(Exchange& exchange, const RequestHead& head) {
  exchange_ = &exchange;
  exchange.head = head_in_input_;
  exchange.changes.clear();
  exchange.granted = false;
  exchange.recorded = false;
  JournalEntry& entry = exchange.entry;
  entry.at = worker().clock().now();
  entry.time = {};
  entry.connection = number_;
  entry.peer = peer_;
  entry.operation = head.method.empty() ? JournalOperation::unreadable : JournalOperation::other;
  entry.bucket.clear();
  entry.key.clear();
  entry.lease_id.clear();
  entry.fault.clear();
  entry.bytes_in = 0;
  entry.bytes_out = 0;
  entry.held = Duration::zero();
}

void Session::end() {
  if (!exchange_->recorded) {
    if (exchange_->granted) count_abandoned(service_, number_, exchange_->entry.bucket);
    record(0, {});
  }
  wait_.reset();
  exchange_->fault.reset();
  exchange_ = nullptr;
  settle();
}

// What the journal calls under way ends here, before the peer can know its response and ask anew.
void Session::record(int status, std::string_view response_head) {
  exchange_->recorded = true;
  if (exchange_->counted) --service_.counters.in_flight;
  JournalEntry& entry = exchange_->entry;
  entry.status = status;
  entry.served = worker().clock().now() - entry.at;
  if (reset_by_fault_) {
    entry.end = ConnectionEnd::reset_by_fault;
  } else if (peer_gone() && !closed()) {
    entry.end = ConnectionEnd::closed_by_peer;
  } else {
    entry.end = keep_alive_ && !closed() ? ConnectionEnd::kept : ConnectionEnd::closed_by_us;
  }
  service_.journal.record(entry, exchange_->head, response_head, exchange_->changes);
}

// --- Heads and bodies
// -----------------------------------------------------------------------------

Awaitable<tl::expected<RequestHead, Response>> Session::read_head() {
  const auto refuse = [](int status, std::string_view code, std::string_view message) {
    return tl::make_unexpected(refusal(status, code, message));
  };
  const Limits& limits = service_.options.limits;
  InputBuffer& in = input();
  HeadScanner scanner;
  bool begun = false;
  while (true) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    while (!begun && in.view().starts_with("\r\n")) in.consume(2);
    head_in_input_ = in.view();
    const bool half_line = !begun && in.view() == "\r";
    const auto status = scanner.scan(half_line ? std::string_view{} : in.view());
    if (status == HeadScanner::Status::complete) break;
    if (status == HeadScanner::Status::malformed) {
      co_return refuse(400, "malformed_request", "The request is not an HTTP/1.1 request.");
    }
    if (in.full() && !scanner.has_request_line()) {
      co_return refuse(414, "target_too_long", "The request line is too long.");
    }
    if (in.full()) co_return refuse(431, "head_too_large", "The request head is too large.");
    if (!begun) {
      begun = !in.empty() && !half_line;
      limit_time(begun ? limits.head_timeout : limits.idle_timeout);
    }
    if (watching()) {
      co_await read_more();
    } else {
      IoError ec;
      const auto got = co_await begin_read(ec);
      end_read(got, ec);
    }
    if (peer_gone()) co_return tl::make_unexpected(Response{});  // for nobody
  }
  head_in_input_ = in.view().substr(0, scanner.length());
  const auto head = parse_head(head_in_input_, limits);
  in.consume(scanner.length());
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

Awaitable<std::uint64_t> Session::receive_into(BodySink& sink, std::uint64_t at_most) {
  const auto until_fault = left_to_read();
  if (until_fault == 0) co_await end_reading();
  if (too_slow(exchange_->body_begun)) close();  // of one that has come whole it does not matter
  if (peer_gone()) co_return 0;
  at_most = std::min(at_most, until_fault);
  const auto window = sink.window();
  const auto size = std::min<std::uint64_t>(window.size(), at_most);
  const auto got = co_await read_body(window.first(size), size == at_most);
  sink.filled(got);
  exchange_->entry.bytes_in += got;
  if (got == until_fault && !peer_gone()) co_await end_reading();
  co_return got;
}

std::uint64_t Session::left_to_read() const {
  const auto* stop = std::get_if<StopReading>(&effects().ending);
  const auto* cut = std::get_if<ResetReading>(&effects().ending);
  if (!stop && !cut) return std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t after = stop ? stop->after : cut->after;
  return after - std::min(after, exchange_->entry.bytes_in);
}

Awaitable<void> Session::end_reading() {
  if (std::holds_alternative<StopReading>(effects().ending)) {
    co_await stop_responding(false);
  } else {
    reset_by_fault();
  }
}

Awaitable<Session::BodyEnd> Session::receive_counted(std::uint64_t length, BodySink& sink) {
  const Worker::Body under_way(worker());
  gather(length > 2 * gather_bytes && !exchange_->fault);
  auto end = BodyEnd::complete;
  while (length > 0 && end == BodyEnd::complete) {
    if (length < 2 * gather_bytes) gather(false);
    if (sink.discarded() > service_.options.limits.drain_bytes) {
      end = BodyEnd::unread;
    } else {
      length -= co_await receive_into(sink, length);
      if (peer_gone()) end = BodyEnd::cut;
    }
  }
  gather(false);
  co_return end;
}

Awaitable<Session::BodyEnd> Session::receive_chunked(BodySink& sink) {
  const Worker::Body under_way(worker());
  ChunkDecoder decoder;
  while (!peer_gone()) {
    auto framing = input().view();
    const auto event = decoder.next(framing);
    input().consume(input().view().size() - framing.size());
    switch (event) {
      case ChunkDecoder::Event::end:
        co_return BodyEnd::complete;
      case ChunkDecoder::Event::malformed:
        co_return BodyEnd::malformed;
      case ChunkDecoder::Event::data:
        if (sink.discarded() > service_.options.limits.drain_bytes) co_return BodyEnd::unread;
        decoder.data_taken(co_await receive_into(sink, decoder.data_left()));
        break;
      case ChunkDecoder::Event::need_more:
        limit_time(service_.options.limits.stall_timeout);
        co_await read_more();
        break;
    }
  }
  co_return BodyEnd::cut;
}

bool Session::too_slow(TimePoint begun) const {
  const Limits& limits = service_.options.limits;
  const auto taken = worker().clock().now() - begun;
  if (taken <= limits.stall_timeout || effects().bytes_per_second) return false;
  const double least =
      std::chrono::duration<double>(taken).count() * static_cast<double>(limits.body_rate);
  return taken > limits.body_timeout || static_cast<double>(exchange_->entry.bytes_in) < least;
}

Awaitable<Session::BodyEnd> Session::receive_body(const RequestHead& head, BodySink& sink) {
  exchange_->body_begun = worker().clock().now();
  if (head.chunked) return receive_chunked(sink);
  return receive_counted(head.content_length.value_or(0), sink);
}

Awaitable<void> Session::discard_body(const RequestHead& head) {
  if (!head.has_body()) co_return;
  // A peer that asked before sending need not send; whether it does cannot be told.
  if (head.expects_continue || head.content_length > service_.options.limits.drain_bytes) {
    keep_alive_ = false;
    co_return;
  }
  BodySink nowhere(nullptr, worker().scratch());
  if (co_await receive_body(head, nowhere) != BodyEnd::complete) keep_alive_ = false;
}

// --- Operations
// -----------------------------------------------------------------------------------

void Session::note(const Route& route) {
  JournalEntry& entry = exchange_->entry;
  entry.operation = in_journal(route.operation);
  entry.bucket = route.bucket;
  entry.key = route.key;
  entry.lease_id = route.lease_id;
}

std::optional<Response> Session::respond_now(const RequestHead& head, const Routed& routed) {
  if (!routed || exchange_->fault || head.has_body()) return std::nullopt;
  const Route& route = exchange_->route;
  const bool acquires = route.operation == Operation::acquire;
  if (!acquires && route.operation != Operation::release) return std::nullopt;
  if (outlived()) {
    close();
    return Response{};  // for nobody
  }
  core::Engine& engine = service_.engine;
  auto& changes = exchange_->changes;  // recorded with the request, which is soon
  if (!acquires) return release(route, &changes);
  if (route.hold == Duration::zero()) {
    return leased(engine.acquire(route.bucket, route.key, route.ttl, {}, number_, &changes));
  }
  const auto lease = engine.try_acquire(route.bucket, route.key, route.ttl, {}, number_, &changes);
  return lease ? std::optional(leased(lease)) : std::nullopt;
}

Awaitable<Response> Session::respond(const RequestHead& head, const Routed& routed) {
  // More may be read from now on. What the journal keeps, and one byte more, which tells that there
  // was more.
  exchange_->kept_head.assign(exchange_->head.substr(0, Journal::longest_head + 1));
  exchange_->head = exchange_->kept_head;
  const Route& route = exchange_->route;
  if (routed) {
    if (exchange_->fault) {
      exchange_->entry.fault = exchange_->fault->name;
      set_pace(effects().bytes_per_second.value_or(0));
      if (effects().incident) {
        service_.cause(effects());
        if (outlived()) close();
      }
      if (peer_gone()) co_return Response{};  // for nobody
      if (const auto* wanted = std::get_if<RespondWith>(&effects().ending)) {
        co_return co_await respond_with_fault(head, *wanted);
      }
    }
    if (route.operation == Operation::put) co_return co_await put(head, route);
    if (is_checkpoint(route.operation)) co_return co_await checkpoint(head, route);
  }
  if (head.has_body()) co_await discard_body(head);
  if (outlived()) close();
  if (peer_gone()) co_return Response{};  // for nobody
  if (!routed) {
    const RouteRefusal& why = routed.error();
    if (why.error == RouteError::not_found) co_return refusal(404, "not_found", why.message);
    if (why.error == RouteError::shard_address) {
      co_return refusal(behaviour_.shard_address_status, "shard_address", why.message);
    }
    ++service_.counters.rejected;
    co_return refusal(400, "malformed_request", why.message);
  }
  if (route.operation == Operation::release) co_return release(route, nullptr);
  const core::GrantFault fault = grant_fault();
  if (route.hold + fault.hold_longer > Duration::zero()) {
    const auto lease = co_await wait_for_key(route, fault);
    co_return leased(lease);
  }
  co_return leased(service_.engine.acquire(route.bucket, route.key, route.ttl, fault, number_));
}

std::optional<Response> Session::refused_form(const RequestHead& head) {
  if (head.chunked && !behaviour_.accept_chunked) {
    return refusal(411, "length_required", "The request needs a Content-Length.");
  }
  if (head.expects_continue && !behaviour_.honour_expect) {
    keep_alive_ = false;
    return refusal(417, "unknown_expectation", "Send the body without Expect.");
  }
  return std::nullopt;
}

bool Session::too_large(const RequestHead& head) const {
  return head.content_length > service_.options.capacity;
}

Awaitable<Response> Session::refuse_body(const RequestHead& head, Response refused) {
  if (too_large(head)) {
    keep_alive_ = false;
  } else {
    co_await discard_body(head);
  }
  co_return refused;
}

Awaitable<std::optional<Response>> Session::receive_whole(const RequestHead& head, BodySink& sink) {
  if (head.expects_continue) co_await write(continue_line);
  const auto end = co_await receive_body(head, sink);
  if (end != BodyEnd::complete) keep_alive_ = false;
  if (sink.refusal()) co_return refused(*sink.refusal());
  if (end == BodyEnd::malformed) {
    ++service_.counters.rejected;
    co_return refusal(400, "malformed_body", "The chunked body is malformed.");
  }
  if (end == BodyEnd::cut) co_return Response{};  // for nobody
  co_return std::nullopt;
}

Awaitable<Response> Session::put(const RequestHead& head, const Route& route) {
  if (auto refused = refused_form(head)) {
    co_await discard_body(head);
    co_return *std::move(refused);
  }
  const auto put = service_.engine.begin_put(route.bucket, route.key, head.body_size());
  if (!put) {
    co_return co_await refuse_body(head, refused(put.error()));
  }
  BodySink sink(put->get(), worker().scratch());
  const auto ended = co_await receive_whole(head, sink);
  if (ended) co_return *ended;
  co_return committed(**put);
}

bool Session::has_come(const RequestHead& head, std::size_t begun) {
  // What one connection may take of the thread's time at once.
  constexpr std::uint64_t most = 256 * 1024;
  const std::uint64_t length = head.content_length.value_or(0);
  if (head.chunked || head.expects_continue || begun > length) return false;
  if (length > std::min(most, service_.options.limits.drain_bytes)) return false;
  return begun == length || available() >= length - begun;
}

Response Session::put_now(const RequestHead& head, const Route& route, std::string_view begun) {
  if (outlived()) {
    close();
    return {};  // for nobody
  }
  const auto put = service_.engine.begin_put(route.bucket, route.key, head.content_length);
  if (!put && too_large(head)) {
    keep_alive_ = false;
    return refused(put.error());
  }
  BodySink sink(put ? put->get() : nullptr, worker().scratch());
  for (std::uint64_t left = *head.content_length; left > 0;) {
    auto window = sink.window();
    window = window.first(std::min<std::uint64_t>(window.size(), left));
    std::size_t got = std::min(window.size(), begun.size());
    if (got > 0) {
      std::memcpy(window.data(), begun.data(), got);
      begun.remove_prefix(got);
    } else if (got = read_now(window); got == 0) {
      // It has come, and yet cannot be read: the connection has broken meanwhile.
      close();
      return {};  // for nobody
    }
    sink.filled(got);
    exchange_->entry.bytes_in += got;
    left -= got;
  }
  if (!put) return refused(put.error());
  if (const auto why = sink.refusal()) return refused(*why);
  return committed(**put);
}

Response Session::committed(core::Put& put) {
  switch (put.commit()) {
    case core::PutOutcome::exists:
      return refused(core::PutRefusal::exists);
    case core::PutOutcome::empty:
      return refused(core::PutRefusal::empty);
    case core::PutOutcome::lost:
      close();
      break;
    case core::PutOutcome::stored:
      break;
  }
  return stored();
}

Response Session::refused(core::PutRefusal why) const {
  switch (why) {
    case core::PutRefusal::exists:
      return refusal(409, "exists", "The key is stored already; its bytes stay as they are.");
    case core::PutRefusal::empty:
      return refusal(behaviour_.empty_put_status, "empty", "An object has at least one byte.");
    case core::PutRefusal::too_large:
      return refusal(behaviour_.too_large_status, "too_large",
                     "The object is larger than the whole segment.");
    case core::PutRefusal::no_memory:
      return refusal(behaviour_.no_room_status, "no_room",
                     "The segment cannot grow: this machine's /dev/shm is full.");
    case core::PutRefusal::no_room:
      break;
  }
  return refusal(behaviour_.no_room_status, "no_room",
                 "No room can be made: what is stored is leased, or part of a checkpoint.");
}

Response Session::leased(const std::optional<core::LeaseGrant>& lease) {
  if (!lease) return refusal(behaviour_.miss_status, "absent", "The key is not stored.");
  exchange_->entry.lease_id = lease->id.text();
  exchange_->granted = true;
  if (effects().grant_defect) {
    return defective_grant(*lease, *effects().grant_defect, service_.options.capacity);
  }
  return granted(*lease, std::move(exchange_->body));
}

Response Session::release(const Route& route, core::Engine::Changes* changes) {
  const auto id = core::LeaseId::parse(route.lease_id);
  JournalEntry& entry = exchange_->entry;
  if (id && service_.engine.release(*id, &entry.bucket, &entry.key, changes)) return released();
  return refusal(behaviour_.unknown_release_status, "unknown_lease",
                 "No live lease has this id; it was released or has expired.");
}

Awaitable<std::optional<core::LeaseGrant>> Session::wait_for_key(const Route& route,
                                                                 const core::GrantFault& fault) {
  // The engine decides on any thread; the decision travels to the worker's.
  auto handler = [weak = weak_from_this(), &service = service_, &io = worker().io(),
                  number = number_, bucket = route.bucket](std::optional<core::LeaseGrant> grant) {
    ++service.counters.unsettled;
    asio::post(io, [weak, &service, number, bucket, grant = std::move(grant)]() mutable {
      if (const auto connection = weak.lock()) {
        static_cast<Session&>(*connection).wait_decided(std::move(grant), bucket);
      } else {
        give_back(service, grant, number, bucket);
      }
      --service.counters.unsettled;
    });
  };
  wait_ = std::make_unique<Wait>();
  auto outcome = service_.engine.acquire_or_wait(route.bucket, route.key, route.ttl, route.hold,
                                                 std::move(handler), fault, number_);
  if (auto* grant = std::get_if<core::LeaseGrant>(&outcome)) co_return std::move(*grant);

  wait_->waiter = std::get<core::Engine::WaiterId>(outcome);
  lift_time_limit();
  watch();
  while (!wait_->decided && !peer_gone()) co_await wait();
  stop_watching();
  wait_->waiting = false;
  exchange_->entry.held = worker().clock().now() - exchange_->entry.at;
  if (peer_gone() && behaviour_.drop_abandoned_waiters) {
    service_.engine.drop_waiter(wait_->waiter);
    if (wait_->decided) give_back(service_, wait_->grant, number_, route.bucket);
    co_return std::nullopt;
  }
  co_return std::move(wait_->grant);
}

void Session::wait_decided(std::optional<core::LeaseGrant> grant, const std::string& bucket) {
  // Too late if the peer went away between the decision and its arrival here.
  if (!wait_ || !wait_->waiting) return give_back(service_, grant, number_, bucket);
  wait_->decided = true;
  wait_->grant = std::move(grant);
  unsettle();
  wake();
}

// --- Faults
// ---------------------------------------------------------------------------------------

std::optional<FiredFault> Session::fault_for(const Route& route) {
  if (service_.faults.empty()) return std::nullopt;
  FaultSubject subject;
  subject.connection = number_;
  std::optional<std::pair<std::string, std::string>> leased;
  switch (route.operation) {
    case Operation::put:
      subject.operation = FaultOperation::put;
      break;
    case Operation::acquire:
      subject.operation = FaultOperation::lease;
      break;
    case Operation::release:
      subject.operation = FaultOperation::release;
      if (const auto id = core::LeaseId::parse(route.lease_id))
        leased = service_.engine.leased_by(*id);
      break;
    case Operation::put_shard:
      subject.operation = FaultOperation::checkpoint_put;
      break;
    case Operation::get_shard:
    case Operation::latest_steps:
      subject.operation = FaultOperation::checkpoint_get;
      break;
    case Operation::delete_shard:
      subject.operation = FaultOperation::checkpoint_delete;
      break;
    default:
      subject.operation = FaultOperation::checkpoint_namespace;
      break;
  }
  if (leased) {  // for the journal, too: a fault may respond in the daemon's place
    std::tie(exchange_->entry.bucket, exchange_->entry.key) = *std::move(leased);
    subject.bucket = exchange_->entry.bucket;
    subject.key = exchange_->entry.key;
  } else {
    subject.bucket = route.bucket;
    subject.key = route.key;
  }
  return service_.faults.decide(subject);
}

const Effects& Session::effects() const {
  static const Effects none;
  return exchange_ != nullptr && exchange_->fault ? exchange_->fault->effects : none;
}

core::GrantFault Session::grant_fault() const {
  const Effects& wanted = effects();
  core::GrantFault fault;
  fault.real_ttl = wanted.real_ttl;
  fault.hold_longer = wanted.hold_longer.value_or(std::chrono::milliseconds{});
  fault.forget = wanted.forget_lease;
  fault.evict = wanted.evict_under_lease;
  if (wanted.poison) fault.poison = std::make_shared<const std::string>(*wanted.poison);
  return fault;
}

Awaitable<Response> Session::respond_with_fault(const RequestHead& head,
                                                const RespondWith& wanted) {
  co_await discard_body(head);
  Response response = refusal(wanted.status, "fault", "A fault answers in place of the daemon.");
  if (wanted.body) response.body = *wanted.body;
  if (response.status < 400 && !wanted.body) response.body.clear();
  response.retry_after = wanted.retry_after;
  co_return response;
}

void Session::reset_by_fault() {
  reset_by_fault_ = true;
  reset();
}

/// Says nothing more, until the peer has had enough; which shows only to one who `watches`.
Awaitable<void> Session::stop_responding(bool watches) {
  settle();
  limit_time(service_.options.limits.idle_timeout);
  if (watches) {
    lift_time_limit();
    watch();
  }
  while (!peer_gone() && !finishing()) co_await wait();
  close();
}

Awaitable<void> Session::send_response(const Response& response, WireForm form) {
  if (const auto& fault = exchange_->fault) {
    if (fault->delay.count() > 0) co_await pause(fault->delay, true);
    if (std::holds_alternative<NeverRespond>(effects().ending)) co_await stop_responding(true);
    if (std::holds_alternative<ResetConnection>(effects().ending)) reset_by_fault();
    if (peer_gone()) co_return;
  }
  worker().count_request();
  std::string& out = exchange_->out;
  out.clear();
  append_wire_form(response, form, out);
  std::string_view rest = out;
  if (const auto& limit = effects().close_after_bytes) {
    rest = rest.substr(0, *limit);
    keep_alive_ = false;
  }
  const std::string_view sent = rest;
  std::uint64_t of_shard = response.shard && form.with_body ? response.shard->size() : 0;
  if (const auto& limit = effects().close_after_bytes) {
    of_shard = std::min(of_shard, *limit - rest.size());
  }
  exchange_->entry.bytes_out = rest.size() + of_shard;
  while (effects().dribble && rest.size() > 1 && !peer_gone()) {
    co_await write(rest.substr(0, 1));
    rest.remove_prefix(1);
    co_await pause(*effects().dribble, false);
  }
  // Before the last write, so that whoever has a response finds its request in the journal.
  record(response.status, head_of(response, form, out, sent));
  co_await write(rest);
  if (of_shard > 0) co_await write_shard(*response.shard, of_shard);
  set_pace(0);
}

std::string_view Session::send_now(const Response& response, const WireForm& form) {
  worker().count_request();
  std::string& out = exchange_->out;
  out.clear();
  append_wire_form(response, form, out);
  exchange_->entry.bytes_out = out.size();
  // Before it is sent, so that whoever has a response finds its request in the journal.
  record(response.status, head_of(response, form, out, out));
  return write_now(out);
}

void Session::log(const Response& response) const {
  // Misses and duplicates are everyday responses; the rest of the refusals somebody wants to see.
  const bool everyday =
      response.status < 400 || response.status == 409 || response.status == behaviour_.miss_status;
  const auto level = everyday ? base::LogLevel::debug : base::LogLevel::info;
  const auto& log = service_.options.log;
  if (!log || !log->enabled(level)) return;
  constexpr std::size_t most = 200;  // so that what follows is not cut off
  std::string shown = "an unreadable request";
  if (exchange_->entry.operation != JournalOperation::unreadable) {
    const auto end = exchange_->head.find("\r\n");  // beyond what is kept, where it is very long
    std::string_view line = exchange_->head.substr(0, end);
    if (end != line.npos) line = line.substr(0, line.rfind(' '));  // in front of the version
    shown = journal::presentable_head(line);
  }
  text::log(log, level, "{} {}{}: {}{}", response.status, std::string_view(shown).substr(0, most),
            shown.size() > most ? "..." : "", response.status < 400 ? "ok" : "refused ",
            response.status < 400 ? "" : response.body);
}

}  // namespace hyperpod::emulator::http
