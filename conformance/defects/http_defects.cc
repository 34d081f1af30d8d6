// SPDX-License-Identifier: Apache-2.0
// Defects of HTTP, of TLS, of limits and of concurrency.
#include <algorithm>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;

/// A mutation that changes requests, or answers them.
auto changing(std::function<std::optional<ResponseMessage>(RequestHead&)> change) {
  return [change = std::move(change)](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = [change](RequestHead& head, const ReceivedRequest&) {
      return change(head);
    };
  };
}

/// A mutation that is a switch of the proxy.
template <class Value>
auto switching(Value Mutation::*member, Value value) {
  return [member, value](DaemonSetup& setup) {
    setup.mutation.emplace();
    (*setup.mutation).*member = value;
  };
}

template <class Value>
auto limiting(Value emulator::Limits::*member, Value value) {
  return [member, value](DaemonSetup& setup) { setup.options.limits.*member = value; };
}

std::optional<ResponseMessage> answer_health(RequestHead& head) {
  if (head.method == "GET" && head.target == "/health") return ResponseMessage::of(200);
  return std::nullopt;
}

std::optional<ResponseMessage> answer_get_of_objects(RequestHead& head) {
  if (head.method == "GET" && head.target.starts_with("/v1/kv/")) return ResponseMessage::of(200);
  return std::nullopt;
}

std::optional<ResponseMessage> want_proper_case(RequestHead& head) {
  const bool proper =
      std::ranges::any_of(head.headers, [](const auto& header) { return header.first == "Host"; });
  return proper ? std::nullopt : std::optional(ResponseMessage::of(400));
}

std::optional<ResponseMessage> refuse_absolute_targets(RequestHead& head) {
  if (!head.target.starts_with("http")) return std::nullopt;
  return ResponseMessage::of(404);
}

std::optional<ResponseMessage> ignore_close(RequestHead& head) {
  head.remove("Connection");
  return std::nullopt;
}

std::optional<ResponseMessage> take_1_0_for_1_1(RequestHead& head) {
  if (head.version != "HTTP/1.0") return std::nullopt;
  head.version = "HTTP/1.1";
  head.headers.emplace_back("Host", "x");
  return std::nullopt;
}

/// The length is forgotten, so what follows the last chunk is the next request.
std::optional<ResponseMessage> trust_chunks(RequestHead& head) {
  if (head.header("Transfer-Encoding")) head.remove("Content-Length");
  return std::nullopt;
}

std::optional<ResponseMessage> take_the_first_length(RequestHead& head) {
  const auto first = head.header("Content-Length");
  const bool repeated = std::ranges::count(head.headers, std::string("Content-Length"),
                                           [](const auto& h) { return h.first; }) > 1;
  if (!first || !repeated) return std::nullopt;
  head.remove("Content-Length");
  head.headers.emplace_back("Content-Length", *first);
  return std::nullopt;
}

/// A chunked body is taken for one of two bytes, whatever its chunks say.
std::optional<ResponseMessage> take_any_chunk(RequestHead& head) {
  if (!head.header("Transfer-Encoding")) return std::nullopt;
  return ResponseMessage::of(200);
}

std::optional<ResponseMessage> replace_nul(RequestHead& head) {
  for (auto& [name, value] : head.headers) {
    std::ranges::replace(name, '\0', '-');
  }
  return std::nullopt;
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::optional<ResponseMessage> take_bad_escapes_for_text(RequestHead& head) {
  for (auto at = head.target.find('%'); at != std::string::npos;
       at = head.target.find('%', at + 1)) {
    const bool proper =
        at + 2 < head.target.size() && is_hex(head.target[at + 1]) && is_hex(head.target[at + 2]);
    if (!proper) head.target.insert(at + 1, "25");
  }
  return std::nullopt;
}

std::optional<ResponseMessage> supply_missing_keys(RequestHead& head) {
  if (head.is_put() && head.target.starts_with("/v1/kv/") && head.target.ends_with('/'))
    head.target += "index";
  return std::nullopt;
}

std::optional<ResponseMessage> supply_a_host(RequestHead& head) {
  if (!head.header("Host")) head.headers.emplace_back("Host", "x");
  return std::nullopt;
}

/// Bodies that arrive at the same time get into each other.
void mixes_concurrent_bodies(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto arriving = std::make_shared<std::set<std::string>>();
  setup.mutation->body = [arriving](const ReceivedRequest& request, std::uint64_t,
                                    std::span<char> part) {
    arriving->insert(request.head.object());
    if (arriving->size() > 1 && !part.empty()) part[0] = static_cast<char>(~part[0]);
  };
  setup.mutation->response = [arriving](const ReceivedRequest& request, ResponseMessage&) {
    arriving->erase(request.head.object());
  };
  setup.mutation->abandoned = [arriving](const ReceivedRequest& request) {
    arriving->erase(request.head.object());
  };
}

void answers_503_under_load(DaemonSetup& setup) {
  setup.mutation.emplace();
  constexpr int most = 40;
  auto under_way = std::make_shared<int>(0);
  setup.mutation->request = [under_way](RequestHead&,
                                        const ReceivedRequest&) -> std::optional<ResponseMessage> {
    // What is answered here is counted off below as well.
    if (++*under_way > most) return ResponseMessage::of(503);
    return std::nullopt;
  };
  setup.mutation->answered = [under_way](const ReceivedRequest&, const ResponseMessage&) {
    --*under_way;
  };
}

void listens_on_ipv4_only(DaemonSetup& setup) { setup.host = "localhost"; }

auto over_tls(std::function<void(DaemonSetup&)> configure) {
  return [configure = std::move(configure)](DaemonSetup& setup) {
    setup.options.tls.self_signed_directory = "temporary";
    configure(setup);
  };
}

/// By a fault: nothing between the two sees what goes over TLS.
void tells_wrong_totals(DaemonSetup& setup) {
  emulator::Fault fault{.name = "wrong-total"};
  fault.match.operation = emulator::FaultOperation::lease;
  fault.script = {{.grant_defect = emulator::GrantDefect::wrong_total}};
  setup.options.faults.push_back(std::move(fault));
}

/// While four large bodies or more are under way, all else waits.
void lets_large_bodies_go_first(DaemonSetup& setup) {
  constexpr std::uint64_t large = 1u << 20;
  setup.mutation.emplace();
  auto under_way = std::make_shared<int>(0);
  const auto is_large = [](const ReceivedRequest& request) {
    return request.head.is_put() && request.head.content_length() >= large;
  };
  setup.mutation->request = [=](RequestHead&,
                                const ReceivedRequest& request) -> std::optional<ResponseMessage> {
    if (is_large(request)) ++*under_way;
    return std::nullopt;
  };
  setup.mutation->answered = [=](const ReceivedRequest& request, const ResponseMessage&) {
    if (is_large(request)) --*under_way;
  };
  setup.mutation->abandoned = [=](const ReceivedRequest& request) {
    if (is_large(request)) --*under_way;
  };
  setup.mutation->delay = [=](const ReceivedRequest& request, const ResponseMessage&) {
    constexpr int many = 4;
    return !is_large(request) && *under_way >= many ? 2500ms : 0ms;
  };
}

}  // namespace

std::vector<Defect> http_defects() {
  constexpr std::size_t few_threads = 32;
  constexpr std::uint64_t a_little_tls = 1'000'000;
  return {
      {"accepts_64_connections",
       "closes connections beyond 64",
       {"CONC-01"},
       limiting<std::uint32_t>(&emulator::Limits::connections, 64)},
      {"has_a_thread_a_request",
       "has 32 threads, each held by a held request",
       {"CONC-02"},
       switching(&Mutation::requests_at_once, few_threads)},
      {"answers_503_under_load",
       "answers 503 when more than 40 requests are under way",
       {"CONC-05"},
       answers_503_under_load},
      {"mixes_concurrent_bodies",
       "mixes the bytes of PUTs that arrive at once",
       {"CONC-03"},
       mixes_concurrent_bodies},
      {"accepts_512_connections",
       "closes connections beyond 512",
       {"CONC-06"},
       limiting<std::uint32_t>(&emulator::Limits::connections, 512)},
      {"lets_large_bodies_go_first",
       "keeps others waiting while large bodies are arriving",
       {"CONC-07"},
       lets_large_bodies_go_first},
      {"speaks_http_1_0",
       "answers with HTTP/1.0",
       {"HTTP-01"},
       switching(&Mutation::version, std::string("HTTP/1.0"))},
      {"listens_on_ipv4_only", "listens on IPv4 only", {"HTTP-02"}, listens_on_ipv4_only},
      {"answers_on_health", "answers 200 on /health", {"HTTP-03"}, changing(answer_health)},
      {"serves_objects_over_http",
       "answers GET of an object with 200",
       {"HTTP-04"},
       changing(answer_get_of_objects)},
      {"closes_after_five_requests",
       "closes a connection after five requests",
       {"HTTP-05"},
       switching<std::size_t>(&Mutation::requests_per_connection, 5)},
      {"drops_pipelined_requests",
       "loses what arrives behind a request",
       {"HTTP-06"},
       switching(&Mutation::drop_pipelined, true)},
      {"wants_heads_in_one_piece",
       "answers 400 to a head that arrives in pieces",
       {"HTTP-07"},
       switching(&Mutation::whole_heads_only, true)},
      {"minds_the_case_of_headers",
       "does not know host from Host",
       {"HTTP-08"},
       changing(want_proper_case)},
      {"refuses_absolute_targets",
       "answers 404 to targets in absolute form",
       {"HTTP-09"},
       changing(refuse_absolute_targets)},
      {"ignores_connection_close",
       "ignores Connection: close",
       {"HTTP-10"},
       changing(ignore_close)},
      {"keeps_1_0_connections",
       "keeps connections of HTTP/1.0 open",
       {"HTTP-11"},
       changing(take_1_0_for_1_1)},
      {"closes_idle_connections",
       "closes connections idle for 5 s",
       {"HTTP-12"},
       limiting(&emulator::Limits::idle_timeout, std::chrono::milliseconds(5s))},
      {"accepts_smuggling",
       "ignores Content-Length beside Transfer-Encoding",
       {"LIMIT-01"},
       changing(trust_chunks)},
      {"takes_the_first_length",
       "takes the first of two differing lengths",
       {"LIMIT-02"},
       changing(take_the_first_length)},
      {"takes_any_chunk",
       "does not mind malformed chunk sizes",
       {"LIMIT-03"},
       changing(take_any_chunk)},
      {"takes_endless_heads",
       "takes heads of any size",
       {"LIMIT-04", "LIMIT-05"},
       [](DaemonSetup& setup) {
         setup.options.limits.head_bytes = 16u << 20;
         setup.options.limits.headers = 1'000'000;
       }},
      {"replaces_nul",
       "takes a NUL in the name of a header for a dash",
       {"LIMIT-06"},
       changing(replace_nul)},
      {"takes_bad_escapes_for_text",
       "takes a malformed percent-encoding for text",
       {"LIMIT-07"},
       changing(take_bad_escapes_for_text)},
      {"supplies_missing_keys",
       "makes up a key where there is none",
       {"LIMIT-08"},
       changing(supply_missing_keys)},
      {"hangs_at_nonsense",
       "says nothing to what is not HTTP",
       {"LIMIT-09"},
       switching(&Mutation::mute_at_nonsense, true)},
      {"does_without_host", "does without a Host header", {"LIMIT-10"}, changing(supply_a_host)},
      {"waits_for_heads_for_ever",
       "waits a minute for the end of a head",
       {"LIMIT-11"},
       limiting(&emulator::Limits::head_timeout, std::chrono::milliseconds(60s))},
      {"accepts_1000_connections_ever",
       "accepts no more after 1,000 connections",
       {"LIMIT-12"},
       switching<std::size_t>(&Mutation::connections_ever, 1000)},
      {"cuts_tls_bodies",
       "cuts a TLS connection after 1 MB",
       {"TLS-01"},
       over_tls(switching(&Mutation::bytes_per_connection, a_little_tls))},
      {"leases_other_lengths_over_tls",
       "leases fragments whose lengths are not the object's, over TLS",
       {"TLS-01"},
       over_tls(tells_wrong_totals)},
      {"grants_plain_on_tls",
       "answers plain HTTP on its TLS port with 200",
       {"TLS-03"},
       over_tls(switching(&Mutation::grant_plain_on_tls, true))},
  };
}

}  // namespace hyperpod::conformance::defects
