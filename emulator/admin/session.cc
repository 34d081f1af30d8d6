// SPDX-License-Identifier: Apache-2.0
#include "admin/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <utility>

#include "http/chunk_decoder.h"
#include "http/response.h"
#include "text/percent.h"

namespace hyperpod::emulator::admin {
namespace {

using boost::beast::iequals;
using http::Awaitable;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";
// A piece of a body is framed and sent at once, so it is worth some size.
constexpr std::size_t body_step = 64 * 1024;

Limits admin_limits() {
  Limits limits;
  limits.head_bytes = 16 * 1024;
  limits.headers = 100;
  limits.head_timeout = seconds{10};
  limits.stall_timeout = seconds{10};
  limits.idle_timeout = seconds{60};
  limits.drain_bytes = 64ull << 20;
  return limits;
}

// A part of a query, in which a plus is a space, as forms and programs write it.
std::optional<std::string> decode_query(std::string_view part) {
  std::string spaced(part);
  std::ranges::replace(spaced, '+', ' ');
  return text::percent_decode(spaced);
}

}  // namespace

Port::Port(const Access& who, Endpoints& routes)
    : access(who), endpoints(routes), limits(admin_limits()) {}

void Port::raise(Signal signal) {
  for (Session& session : listeners) {
    if (session.listens_for() == signal) session.signalled();
  }
}

/// Wakes a session that waits when its time is over.
class Session::Deadline final : public core::Timer {
 public:
  explicit Deadline(Session& session) : session_(session) {}
  bool over() const { return over_; }

 private:
  void on_due() override {
    over_ = true;
    session_.wake();
  }

  Session& session_;
  bool over_ = false;
};

Session::Slot::Slot(Port& port) : port_(port), taken_(port.waiting < Port::most_waiting) {
  if (taken_) ++port_.waiting;
}

Session::Slot::~Slot() {
  if (taken_) --port_.waiting;
}

Session::Session(Port& port, http::Worker& worker, Lane& reads, Lane& changes,
                 std::unique_ptr<http::Transport> transport)
    : Connection(worker, port.limits, port.counters, std::move(transport)),
      port_(port),
      reads_(reads),
      changes_(changes) {
  ++port_.counters.open;
}

Session::~Session() { --port_.counters.open; }

void Session::signalled() {
  signalled_ = true;
  wake();
}

Awaitable<void> Session::serve() {
  bool more = true;
  while (more) more = co_await serve_next();
}

Awaitable<bool> Session::serve_next() {
  set_idle(true);
  port_.unserved.push_back(*this);
  const auto refusal = co_await read_request();
  Unserved::unlink();
  if (peer_gone()) co_return false;
  set_idle(false);
  Response response;
  if (refusal) {
    keep_alive_ = false;  // part of the request may be unread
    response = refused(*refusal);
  } else {
    response = co_await respond();
  }
  if (peer_gone()) co_return false;
  co_await send(std::move(response));
  slot_.reset();
  co_return keep_alive_ && !peer_gone() && !finishing();
}

// --- Reading ------------------------------------------------------------------------------------

Awaitable<std::optional<Refusal>> Session::read_request() {
  auto refusal = co_await read_head();
  if (peer_gone() || refusal) co_return refusal;
  refusal = admit();
  if (refusal) co_return refusal;
  refusal = co_await read_body();
  lift_time_limit();
  co_return refusal;
}

Awaitable<std::optional<Refusal>> Session::read_head() {
  http::InputBuffer& in = input();
  http::HeadScanner scanner;
  bool begun = false;
  while (true) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    while (!begun && in.view().starts_with("\r\n")) in.consume(2);
    const bool half_line = !begun && in.view() == "\r";
    const auto status = scanner.scan(half_line ? std::string_view{} : in.view());
    if (status == http::HeadScanner::Status::complete) break;
    if (status == http::HeadScanner::Status::malformed) {
      co_return Refusal{400, "the request is not an HTTP/1.1 request"};
    }
    if (in.full() && !scanner.has_request_line()) {
      co_return Refusal{414, "the request target is too long; shorten it"};
    }
    if (in.full()) co_return Refusal{431, "the request head is too large"};
    if (!begun) {
      begun = !in.empty() && !half_line;
      limit_time(begun ? port_.limits.head_timeout : port_.limits.idle_timeout);
    }
    const bool more = co_await read_more();
    if (!more) co_return std::nullopt;
  }
  const auto refusal = take_head(in.view().substr(0, scanner.length()));
  in.consume(scanner.length());
  co_return refusal;
}

std::optional<Refusal> Session::take_head(std::string_view bytes) {
  request_ = {};
  provenance_ = {};
  const auto visit = [this](std::string_view name, std::string_view value) {
    std::string* const wanted = iequals(name, "host")            ? &provenance_.host
                                : iequals(name, "origin")        ? &provenance_.origin
                                : iequals(name, "authorization") ? &provenance_.authorization
                                : iequals(name, "content-type")  ? &provenance_.content_type
                                : iequals(name, "accept")        ? &request_.accept
                                                                 : nullptr;
    if (wanted == nullptr) return;
    if (!wanted->empty()) *wanted += ", ";
    *wanted += value;
  };
  const auto head = http::parse_head(bytes, port_.limits, visit);
  if (!head) {
    switch (head.error()) {
      case http::HeadError::too_many_headers:
        return Refusal{431, "the request has too many headers"};
      case http::HeadError::unknown_coding:
        return Refusal{501, "the only transfer coding understood is chunked"};
      case http::HeadError::unknown_expect:
        return Refusal{417, "the only expectation understood is 100-continue"};
      case http::HeadError::unknown_version:
        return Refusal{505, "only HTTP/1.1 and HTTP/1.0 are served"};
      case http::HeadError::malformed:
        return Refusal{400, "the request head is malformed or ambiguous"};
    }
  }
  head_only_ = head->method == "HEAD";
  request_.method = head_only_ ? "GET" : head->method;
  http_1_0_ = head->http_1_0;
  chunked_ = head->chunked;
  content_length_ = head->content_length;
  expects_continue_ = head->expects_continue;
  keep_alive_ = keep_alive_ && head->keep_alive;
  return take_target(head->target);
}

std::optional<Refusal> Session::take_target(std::string_view target) {
  target = http::origin_form(target);
  const auto mark = target.find('?');
  request_.path = target.substr(0, mark);
  if (mark == target.npos) return std::nullopt;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    auto name = decode_query(pair.substr(0, equals));
    auto value = decode_query(equals == pair.npos ? "" : pair.substr(equals + 1));
    if (!name || !value) {
      return Refusal{400, "the query holds a percent-encoding that is broken or not UTF-8"};
    }
    request_.query.emplace(std::move(*name), std::move(*value));
  }
  return std::nullopt;
}

std::optional<Refusal> Session::admit() {
  match_ = port_.endpoints.find(request_);
  const Guard guard = match_.route != nullptr ? match_.route->guard : Guard::token;
  const bool may_change = request_.method == "POST" || request_.method == "PUT";
  const bool has_body = chunked_ || content_length_.value_or(0) > 0;
  const bool reads = request_.method == "GET";
  if (auto refusal = port_.access.check(guard, may_change || (has_body && !reads), provenance_)) {
    // A form gets nothing done with a method that is not there, and need not be told of types.
    if (refusal->status != 415 || match_.allow.empty()) return refusal;
  }
  if (reads && has_body) {
    return Refusal{400, "a request of this method has no body"};
  }
  if (content_length_.value_or(0) > longest_body) {
    return Refusal{413, fmt::format("the body is larger than {} bytes", longest_body)};
  }
  return std::nullopt;
}

Awaitable<std::optional<Refusal>> Session::read_body() {
  if (!chunked_ && content_length_.value_or(0) == 0) co_return std::nullopt;
  if (expects_continue_) co_await write(continue_line);
  if (chunked_) co_return co_await read_chunked();
  co_return co_await read_counted();
}

Awaitable<std::optional<Refusal>> Session::read_counted() {
  std::string& body = request_.body;
  body.resize(*content_length_);
  std::size_t have = 0;
  while (have < body.size() && !peer_gone()) {
    const auto window = std::as_writable_bytes(std::span(body)).subspan(have);
    have += co_await Connection::read_body(window, true);
  }
  co_return std::nullopt;
}

Awaitable<std::optional<Refusal>> Session::read_chunked() {
  std::string& body = request_.body;
  http::ChunkDecoder decoder;
  while (!peer_gone()) {
    auto framing = input().view();
    const auto event = decoder.next(framing);
    input().consume(input().view().size() - framing.size());
    switch (event) {
      case http::ChunkDecoder::Event::end:
        co_return std::nullopt;
      case http::ChunkDecoder::Event::malformed:
        co_return Refusal{400, "the chunked coding of the body is malformed"};
      case http::ChunkDecoder::Event::need_more:
        limit_time(port_.limits.stall_timeout);
        co_await read_more();
        break;
      case http::ChunkDecoder::Event::data: {
        const auto step = std::min<std::uint64_t>(decoder.data_left(), body_step);
        const std::size_t have = body.size();
        if (have + step > longest_body) {
          co_return Refusal{413, fmt::format("the body is larger than {} bytes", longest_body)};
        }
        body.resize(have + step);
        const auto window = std::as_writable_bytes(std::span(body)).subspan(have);
        const auto got = co_await Connection::read_body(window, step == decoder.data_left());
        body.resize(have + got);
        decoder.data_taken(got);
        break;
      }
    }
  }
  co_return std::nullopt;
}

// --- Responding ---------------------------------------------------------------------------------

Awaitable<Response> Session::respond() {
  Response response;
  const auto call = [&] { response = port_.endpoints.respond(match_, request_); };
  const auto where = match_.route == nullptr ? Route::Where::at_once : match_.route->where;
  switch (where) {
    case Route::Where::at_once:
      call();
      break;
    case Route::Where::reads:
      co_await reads_.run(worker().io(), call);
      break;
    case Route::Where::changes:
      co_await changes_.run(worker().io(), call);
      break;
  }
  if (!response.wait && !response.source) co_return response;
  slot_.emplace(port_);
  if (!slot_->taken()) {
    co_return refused({503, "too many requests wait already; ask again without a wait"});
  }
  if (!response.wait) co_return response;
  co_return co_await await_response(std::move(response));
}

void Session::listen_for(Signal signal) {
  listens_for_ = signal;
  port_.listeners.push_back(*this);
  port_.listened();
  watch();
}

void Session::stop_listening() {
  stop_watching();
  Listener::unlink();
}

Awaitable<Response> Session::await_response(Response pending) {
  listen_for(pending.signal);
  Deadline deadline(*this);
  worker().arm(deadline, worker().clock().now() + pending.wait->most());
  std::optional<Response> made;
  while (true) {
    signalled_ = false;
    const bool last = deadline.over() || finishing();
    co_await reads_.run(worker().io(), [&] { made = pending.wait->attempt(last); });
    if (made || peer_gone()) break;
    while (!signalled_ && !deadline.over() && !peer_gone() && !finishing()) co_await wait();
  }
  stop_listening();
  if (!made) co_return Response{};  // for nobody
  co_return std::move(*made);
}

Awaitable<void> Session::send(Response response) {
  port_.unserved.push_back(*this);
  const bool pieces = response.source != nullptr;
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, http::reason(response.status));
  if (pieces || !response.body.empty())
    out += fmt::format("Content-Type: {}\r\n", response.content_type);
  out += response.headers;
  out += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  if (pieces && http_1_0_) keep_alive_ = false;  // the body ends with the connection
  if (!pieces && response.status != 204)
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  if (pieces && !http_1_0_) out += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_ || finishing()) {
    keep_alive_ = false;
    out += "Connection: close\r\n";
  } else if (http_1_0_) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  if (!pieces && !head_only_) out += response.body;
  co_await write(out);
  if (pieces && !head_only_) co_await send_pieces(response);
  lift_time_limit();
  Unserved::unlink();
}

Awaitable<void> Session::send_pieces(Response& response) {
  Unserved::unlink();  // what has a slot keeps it
  listen_for(response.signal);
  auto more = Source::More::now;
  std::string piece = std::move(response.body);
  while (!peer_gone()) {
    signalled_ = false;
    if (more == Source::More::now) {
      co_await reads_.run(worker().io(), [&] { more = response.source->next(piece); });
    }
    if (!piece.empty()) {
      if (http_1_0_) {
        co_await write(piece);
      } else {
        co_await write(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
      }
      lift_time_limit();
      piece.clear();
    }
    if (more == Source::More::never) break;
    if (finishing()) break;
    if (more == Source::More::after_signal) {
      while (!signalled_ && !peer_gone() && !finishing()) co_await wait();
      more = Source::More::now;
    }
  }
  stop_listening();
  // What ends early ends without the last chunk, so that nobody takes it for whole.
  const bool whole = more == Source::More::never;
  if (!whole) keep_alive_ = false;
  if (whole && !http_1_0_) co_await write("0\r\n\r\n");
}

}  // namespace hyperpod::emulator::admin
