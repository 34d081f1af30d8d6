#include "daemon/session.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "daemon/check.h"

namespace hyperpod::conformance {
namespace {

// Enough to tell what kind of bytes these are.
constexpr std::size_t text_looked_at = 2048;

/// Head and body of what was sent. Without an empty line, text counts as a head and all else as a
/// body.
std::pair<std::string_view, std::string_view> split(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end != std::string_view::npos && is_text(bytes.substr(0, end))) {
    return {bytes.substr(0, end), bytes.substr(end + 4)};
  }
  if (is_text(bytes.substr(0, text_looked_at))) return {bytes, {}};
  return {{}, bytes};
}

}  // namespace

std::string LeaseTerms::query() const {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "timeout_ms=%lld&ttl_s=%lld.%lld",
                static_cast<long long>(hold.count()), static_cast<long long>(ttl.count() / 1000),
                static_cast<long long>(ttl.count() % 1000 / 100));
  return text.data();
}

Session::Session(Connection connection, std::string authority, Duration patience,
                 Transcript& transcript)
    : connection_(std::move(connection)),
      authority_(std::move(authority)),
      patience_(patience),
      transcript_(&transcript),
      number_(transcript.next_connection()) {}

Answer Session::put(const Name& name, std::string_view body) {
  return ask(put_request(name, body));
}

Answer Session::acquire(const Name& name, const LeaseTerms& terms) {
  send(acquire_request(name, terms));
  return answer(patience_ + terms.hold);
}

Answer Session::release(std::string_view lease_id) { return ask(release_request(lease_id)); }

Answer Session::ask(const Request& request) {
  send(request);
  return answer();
}

void Session::send(const Request& request) {
  std::string head = head_of(request);
  if (request.body.size() < 64 * 1024) {
    send_raw(head.append(request.body));
    return;
  }
  // A daemon may refuse before it has read the body. Then the answer tells more than the failure.
  transcript_->add(Event::Kind::sent, number_, split(head).first, request.body);
  if (auto sent = connection_.send(head, now() + patience_)) {
    (void)connection_.send(request.body, now() + patience_);
  }
  last_sent_ = now();
}

void Session::send_raw(std::string_view bytes) {
  if (!try_send_raw(bytes)) {
    throw Violation{"the daemon reads what is sent to it", "it closed the connection before that"};
  }
}

bool Session::try_send_raw(std::string_view bytes) {
  const auto [head, body] = split(bytes);
  transcript_->add(Event::Kind::sent, number_, head, body);
  const auto sent = connection_.send(bytes, now() + patience_);
  last_sent_ = now();
  if (sent) return true;
  transcript_->add(Event::Kind::trouble, number_, sent.error().message, {});
  if (sent.error().code == ErrorCode::closed || sent.error().code == ErrorCode::tls) return false;
  throw Violation{"the daemon reads what is sent to it", sent.error().message};
}

Answer Session::answer(Duration limit) {
  auto answer = next_answer(now() + limit);
  if (!answer) throw Violation{"an HTTP answer within " + in_ms(limit), answer.error().message};
  return *std::move(answer);
}

std::optional<Answer> Session::answer_or_close(Duration limit) {
  auto answer = next_answer(now() + limit);
  if (answer) return *std::move(answer);
  const ErrorCode code = answer.error().code;
  if ((code == ErrorCode::closed || code == ErrorCode::tls) && received_.empty())
    return std::nullopt;
  throw Violation{"an HTTP answer or a closed connection within " + in_ms(limit),
                  answer.error().message};
}

bool Session::silent_for(Duration time) {
  if (!received_.empty() || ended_) return false;
  const auto more = receive_more(now() + time);
  return !more && more.error().code == ErrorCode::timed_out;
}

bool Session::closes_within(Duration limit) {
  const auto more = receive_more(now() + limit);
  return received_.empty() && (ended_ || (!more && more.error().code != ErrorCode::timed_out));
}

std::string Session::head_of(const Request& request) const {
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\n";
  head += "Host: " + authority_ + "\r\nUser-Agent: hyperpod-conformance\r\n";
  bool framed = false;
  for (const auto& [name, value] : request.headers) {
    head += name + ": " + value + "\r\n";
    framed = framed || name == "Content-Length" || name == "Transfer-Encoding";
  }
  if (!framed && request.method != "GET") {
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return head + "\r\n";
}

Result<void> Session::receive_more(Moment deadline) {
  std::array<char, 16 * 1024> buffer;
  const auto got = connection_.receive(buffer, deadline);
  if (!got) return tl::unexpected(got.error());
  ended_ = *got == 0;
  received_.append(buffer.data(), *got);
  return {};
}

Result<Answer> Session::next_answer(Moment deadline) {
  while (true) {
    Result<std::optional<ParsedAnswer>> parsed = std::nullopt;
    if (!received_.empty()) {
      parsed = parse_answer(received_, ended_);
    } else if (ended_) {
      parsed = tl::unexpected(
          Error{ErrorCode::closed, "the daemon closed the connection without an answer"});
    }
    Result<void> more;
    if (parsed && *parsed) {
      Answer answer = std::move((*parsed)->answer);
      received_.erase(0, (*parsed)->consumed);
      answer.asked = last_sent_;
      answer.arrived = now();
      transcript_->add(Event::Kind::received, number_, answer.head, answer.body);
      return answer;
    }
    if (parsed) more = receive_more(deadline);
    if (parsed && more) continue;
    const Error error = parsed ? more.error() : parsed.error();
    transcript_->add(Event::Kind::trouble, number_, error.message, received_);
    return tl::unexpected(error);
  }
}

Request put_request(const Name& name, std::string_view body) {
  return {"PUT",
          name.target(),
          {{"Accept", "*/*"},
           {"Accept-Encoding", "gzip, deflate"},
           {"Content-Type", "application/octet-stream"}},
          body};
}

Request acquire_request(const Name& name, const LeaseTerms& terms) {
  return {"POST",
          name.target() + "/leases?" + terms.query(),
          {{"Accept", "*/*"}, {"Accept-Encoding", "gzip, deflate"}},
          {}};
}

Request release_request(std::string_view lease_id) {
  return {"POST",
          "/v1/leases/" + std::string(lease_id) + "/release",
          {{"Accept", "*/*"}, {"Accept-Encoding", "gzip, deflate"}},
          {}};
}

}  // namespace hyperpod::conformance
