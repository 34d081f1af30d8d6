// SPDX-License-Identifier: Apache-2.0
// What is broken in a client, and how: each defect sets something at named points of the client
// (client/src/points.h). One at a time is chosen by HYPERPOD_DEFECT when a driver of the client
// starts. ../client_defects.cc tells what each does and which requirements must catch it.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "hyperpod/client/client.h"
#include "leases/leases.h"
#include "memory/segment.h"
#include "points.h"
#include "transport/connection.h"
#include "transport/request_gate.h"
#include "transport/target.h"
#include "transport/transport.h"

namespace hyperpod::client {
namespace {

using points::at;
using std::chrono::milliseconds;
using transport::Connection;
using transport::Exchange;
using transport::HttpOutcome;
using transport::HttpRequest;
using transport::RequestClass;
using transport::RequestGate;
using transport::Transport;
using transport::TransportFailure;

TimePoint now() { return std::chrono::steady_clock::now(); }

// Sets a value at a point that passes nothing else.
template <class T>
std::function<void()> always(std::string point, T value) {
  return [point, value] { at<T>(point, [value](T& v) { v = value; }); };
}

// Changes the limits of the request gate.
std::function<void()> limits(void (*change)(RequestGate::Limits&, const ClientOptions&)) {
  return [change] { at<RequestGate::Limits, const ClientOptions>("gate.limits", change); };
}

// Has requests go on beyond their deadline, for as long as `extension` says; none lets them end.
std::function<void()> postpone(std::optional<Duration> (*extension)(const Exchange&)) {
  return [extension] {
    at<Exchange>("transport.expired", [extension](Exchange& exchange) {
      if (const auto more = extension(exchange)) exchange.postpone(now() + *more);
    });
  };
}

constexpr Duration long_time = std::chrono::hours{1};

void gives_place_back_twice() {
  static int debt = 0;
  static int failed = 0;  // requests that a failed connection cost, repeated or not
  static std::vector<std::unique_ptr<RequestGate::Waiter>> ghosts;
  at<bool, Exchange, HttpOutcome>("transport.send_again",
                                  [](bool&, Exchange&, HttpOutcome& outcome) {
                                    if (!outcome) ++failed;
                                  });
  at<RequestGate, Exchange, transport::Outcome>(
      "transport.leave", [](RequestGate& gate, Exchange& exchange, transport::Outcome&) {
        const auto counts = gate.counts();
        if (failed > 0 && counts.in_flight >= 2) {
          gate.leave(exchange.host());
          --failed;
          ++debt;
        } else if (debt > 0 && counts.in_flight < 2) {  // or the gate would count below zero
          auto& ghost = ghosts.emplace_back(
              std::make_unique<RequestGate::Waiter>(exchange.host(), RequestClass::lease));
          gate.enter(*ghost, now());
          --debt;
        }
      });
}

// As LMCache's in-process client does.
void two_gates() {
  static std::uint32_t limit = 0;
  static std::map<bool, std::uint32_t> in_flight;  // by whether they are puts
  const auto is_put = [](const RequestGate::Waiter& waiter) {
    return waiter.request_class() == RequestClass::put;
  };
  limits([](RequestGate::Limits& l, const ClientOptions& options) {
    limit = options.max_concurrent_requests;
    l.in_flight = 2 * limit;
  })();
  at<bool, const RequestGate::Waiter>("gate.place",
                                      [=](bool& place, const RequestGate::Waiter& waiter) {
                                        if (in_flight[is_put(waiter)] >= limit) place = false;
                                      });
  at<Exchange>("transport.admitted", [=](Exchange& exchange) { ++in_flight[is_put(exchange)]; });
  at<RequestGate, Exchange, transport::Outcome>(
      "transport.leave", [=](RequestGate&, Exchange& exchange, transport::Outcome&) {
        --in_flight[is_put(exchange)];
      });
}

void drops_backlog() {
  at<Transport, Exchange>("transport.queued", [](Transport& transport, Exchange& exchange) {
    Statistics statistics;
    transport.add_to(statistics);
    if (statistics.requests_queued > 20) transport.cancel_queued(exchange);
  });
}

void deadline_of_each_read() {
  static constexpr milliseconds patience{2000};
  static std::map<const Connection*, TimePoint> last;
  at<Connection>("connection.received", [](Connection& c) { last[&c] = now(); });
  at<Exchange>("transport.expired", [](Exchange& exchange) {
    const auto read = last.find(exchange.connection().get());
    if (read != last.end() && now() - read->second < patience) exchange.postpone(now() + patience);
  });
}

// Keeps a connection whose response it has given up, and what comes on it for the next request.
void reads_late_answers() {
  static std::map<const Connection*, std::string> late;
  at<bool, TransportFailure>("connection.failed", [](bool& closes, TransportFailure& failure) {
    if (failure.code == ErrorCode::timed_out) closes = false;
  });
  at<bool>("connection.unasked", [](bool& unasked) { unasked = false; });
  at<bool, std::string_view, Connection>(
      "connection.idle_bytes", [](bool& closes, std::string_view& bytes, Connection& connection) {
        closes = false;
        late[&connection] += bytes;
      });
  at<Connection>("connection.sent", [](Connection& connection) {
    const std::string bytes = std::exchange(late[&connection], {});
    if (!bytes.empty()) connection.take(bytes);
  });
}

void connects_for_ever() {
  at<bool, Exchange, HttpOutcome>("transport.send_again",
                                  [](bool& again, Exchange&, HttpOutcome& outcome) {
                                    if (outcome || outcome.error().code != ErrorCode::unreachable)
                                      return;
                                    std::this_thread::sleep_for(milliseconds{10});
                                    again = true;
                                  });
  postpone([](const Exchange& exchange) -> std::optional<Duration> {
    if (!exchange.connection() || exchange.connection()->has_sent_all()) return std::nullopt;
    return std::chrono::seconds{1};
  })();
}

void queueing_is_free() {
  static std::map<const Exchange*, Duration> spans;
  at<Transport, Exchange>("transport.queued", [](Transport&, Exchange& exchange) {
    spans[&exchange] = exchange.deadline() - now();
  });
  at<Exchange>("transport.admitted", [](Exchange& exchange) {
    const auto span = spans.extract(&exchange);
    if (span) exchange.postpone(now() + span.mapped());
  });
  postpone([](const Exchange& exchange) -> std::optional<Duration> {
    if (!exchange.is_queued()) return std::nullopt;
    return std::chrono::minutes{5};
  })();
}

// As a wait does that is begun anew after EINTR.
void signals_put_off_deadlines() {
  static std::atomic<TimePoint::rep> interrupted{std::numeric_limits<TimePoint::rep>::min()};
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = now().time_since_epoch().count(); };
  sigaction(SIGCONT, &action, nullptr);
  postpone([](const Exchange&) -> std::optional<Duration> {
    constexpr milliseconds patience{200};
    if (now() - TimePoint(Duration(interrupted)) > patience) return std::nullopt;
    return patience;
  })();
}

// The requests of one caller, one after the other, take one connection as long as it is kept.
void loses_what_meets_a_closed_connection() {
  at<Connection>("connection.sent", [made = 0](Connection& connection) mutable {
    if (connection.is_reused() || ++made == 1) return;
    connection.fail({ErrorCode::unreachable, "closed the connection without a response"});
  });
}

void releases_twice() {
  at<leases::Leases, leases::PendingRelease>(
      "release.released", [done = std::set<std::string>()](
                              leases::Leases& leases, leases::PendingRelease& release) mutable {
        if (!done.insert(release.lease_id).second) return;
        leases::Grant grant;
        grant.host = release.host;
        grant.id = release.lease_id;
        grant.expires = release.expires;
        leases.release(grant, nullptr);
      });
}

std::function<void()> release_target(std::string (*target)(const std::string& id)) {
  return [target] {
    at<std::string, std::string>(
        "release.target", [target](std::string& text, std::string& id) { text = target(id); });
  };
}

// Where the TTL stands in a lease request's target.
std::size_t ttl_in(const std::string& target) { return target.find("ttl_s=") + 6; }

void asks_for_longer_leases() {
  static std::atomic<double> ttl{0};
  at<std::string>("lease.target", [](std::string& target) {
    ttl = std::stod(target.substr(ttl_in(target)));
    target = target.substr(0, ttl_in(target)) + fmt::format("{:.1f}", 100 * ttl);
  });
  at<TimePoint>("lease.expires", [](TimePoint& expires) {
    expires += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(99 * ttl));
  });
}

void whole_seconds() {
  at<std::string>("lease.target", [](std::string& target) {
    const auto point = target.find('.', ttl_in(target));
    if (point != std::string::npos) target.resize(point);
  });
}

void checks_expiry_before_the_copy_only() {
  static thread_local bool copied = false;
  points::set("lease.copied", [](auto) { copied = true; });
  at<bool>("lease.expired", [](bool& expired) {
    if (std::exchange(copied, false)) expired = false;
  });
}

void never_looks_again() {
  at<Result<struct stat>, const std::string>(
      "segment.looked",
      [failed = false](Result<struct stat>& status, const std::string& path) mutable {
        if (failed) {
          status = tl::unexpected(Error{ErrorCode::segment_missing, "there was no " + path});
        }
        failed = failed || !status || status->st_size == 0 || (status->st_mode & S_IRUSR) == 0;
      });
}

// As Python's resource tracker did before 3.13: whoever attaches unlinks when it ends.
void unlinks_at_exit() {
  at<const std::string>("segment.made", [](const std::string& path) {
    static std::string unlinked_at_exit;
    unlinked_at_exit = path;
    std::atexit([] { ::unlink(unlinked_at_exit.c_str()); });
  });
}

std::function<void()> put_status(bool (*is_stored)(int status)) {
  return [is_stored] {
    at<int>("put.status", [is_stored](int& status) {
      if (is_stored(status)) status = 200;
    });
  };
}

void retries_puts() {
  at<bool, Exchange, HttpOutcome>(
      "transport.send_again", [repeated = std::set<const Exchange*>()](
                                  bool& again, Exchange& exchange, HttpOutcome& outcome) mutable {
        const bool refused =
            exchange.request_class() == RequestClass::put && outcome && outcome->status >= 429;
        if (repeated.erase(&exchange) > 0 || !refused) return;
        repeated.insert(&exchange);
        again = true;
      });
}

std::function<void()> escape(void (*change)(bool& bare, char& c)) {
  return [change] { at<bool, char>("target.bare", change); };
}

std::function<void()> object_target(
    const std::function<std::string(std::string_view bucket, std::string_view key)>& target) {
  return [target] {
    at<std::string, std::string_view, std::string_view>(
        "target.object", [target](std::string& text, std::string_view& bucket,
                                  std::string_view& key) { text = target(bucket, key); });
  };
}

void always_a_header() {
  at<bool, const PutItem>("put.has_header", [](bool& has_header, const PutItem& item) {
    has_header = item.layout.has_value();
  });
  at<bool>("get.has_header", [](bool& has_header) { has_header = true; });
}

template <class Outcome>
void fail_all(const std::any& value) {
  auto* const* const passed = std::any_cast<std::vector<Result<Outcome>>*>(&value);
  if (passed == nullptr) return;
  for (const auto& outcome : **passed) {
    if (outcome) continue;
    const Error error = outcome.error();
    for (auto& each : **passed) each = tl::unexpected(error);
    return;
  }
}

void one_failure_fails_all() {
  points::set("batch.outcomes", [](points::Values values) {
    fail_all<GetOutcome>(*values.begin());
    fail_all<PutOutcome>(*values.begin());
  });
}

void counts_beyond_a_miss() {
  static std::atomic<std::size_t> misses{0};
  at<bool, Result<bool>>("lookup.counts", [](bool& counts, Result<bool>& found) {
    if (!found || *found) return;
    counts = true;
    ++misses;
  });
  at<std::size_t, std::vector<bool>>(
      "lookup.hits", [](std::size_t& hits, std::vector<bool>&) { hits -= misses.exchange(0); });
}

void counts_errors() {
  at<bool, Result<bool>>("lookup.counts",
                         [](bool& counts, Result<bool>& found) { counts = counts || !found; });
}

/// The key with e and an acute accent after it as one letter, as in form NFC.
std::string composed(std::string_view key) {
  std::string text(key);
  const std::string_view decomposed = "e\u0301";
  for (auto at = text.find(decomposed); at != std::string::npos; at = text.find(decomposed, at))
    text.replace(at, decomposed.size(), "\u00E9");
  return text;
}

std::function<void()> key_as(std::string (*change)(std::string_view key)) {
  return object_target([change](std::string_view bucket, std::string_view key) {
    using transport::encode_segment;
    return "/v1/kv/" + encode_segment(bucket) + "/" + encode_segment(change(key));
  });
}

std::string without_outer_spaces(std::string_view key) {
  const auto begin = key.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  return std::string(key.substr(begin, key.find_last_not_of(' ') + 1 - begin));
}

const std::map<std::string_view, std::function<void()>>& defects() {
  static const std::map<std::string_view, std::function<void()>> all{
      // Throttling and connections.
      {"no_throttle", limits([](RequestGate::Limits& l, const ClientOptions&) {
         l.in_flight = l.per_host = 100'000;
       })},
      {"one_request_too_many", limits([](RequestGate::Limits& l, const ClientOptions& options) {
         l.in_flight = options.max_concurrent_requests + 1;
       })},
      {"two_gates", two_gates},
      {"default_limit_128", limits([](RequestGate::Limits& l, const ClientOptions& options) {
         if (options.max_concurrent_requests == 100) l.in_flight = 128;
       })},
      {"no_connection_limit", limits([](RequestGate::Limits& l, const ClientOptions& options) {
         l.in_flight = options.max_concurrent_requests;
       })},
      {"no_limit_per_host",
       limits([](RequestGate::Limits& l, const ClientOptions&) { l.per_host = 100'000; })},
      {"puts_first",
       [] {
         at<Duration, RequestClass>("gate.handicap", [](Duration& put_back, RequestClass& request) {
           put_back = std::chrono::seconds{request == RequestClass::put ? 0 : 30};
         });
       }},
      {"drops_backlog", drops_backlog},
      {"gives_place_back_twice", gives_place_back_twice},
      {"no_keep_alive", always("connection.reusable", false)},
      {"keeps_idle_connections", always("pool.idle_limit", Duration{std::chrono::hours{24}})},

      // Time.
      {"no_deadline", postpone([](const Exchange& exchange) -> std::optional<Duration> {
         if (!exchange.connection()) return std::nullopt;
         return long_time;
       })},
      {"no_deadline_of_writes", postpone([](const Exchange& exchange) -> std::optional<Duration> {
         if (!exchange.connection() || exchange.connection()->has_sent_all()) return std::nullopt;
         return long_time;
       })},
      {"deadline_of_each_read", deadline_of_each_read},
      {"reads_late_answers", reads_late_answers},
      {"connects_for_ever", connects_for_ever},
      {"queueing_is_free", queueing_is_free},
      {"gives_up_with_the_daemon", always("lease.margin", milliseconds{0})},
      {"signals_put_off_deadlines", signals_put_off_deadlines},
      {"first_address_only",
       [] {
         using Endpoints = std::vector<transport::asio::ip::tcp::endpoint>;
         at<Endpoints>("connect.endpoints", [](Endpoints& endpoints) {
           if (endpoints.size() > 1) endpoints.resize(1);
         });
       }},

      // Leases.
      {"never_releases",
       [] {
         at<bool, std::string>("release.begin", [](bool& sends, std::string&) { sends = false; });
       }},
      {"releases_twice", releases_twice},
      {"releases_another_id",
       [] {
         at<bool, std::string>("release.begin",
                               [](bool&, std::string& id) { std::ranges::reverse(id); });
       }},
      {"old_release_call",
       release_target([](const std::string& id) { return "/v1/kv/any/leases/" + id; })},
      {"raw_lease_ids",
       release_target([](const std::string& id) { return "/v1/leases/" + id + "/release"; })},
      {"keeps_refused_leases", always("lease.refused", false)},
      {"no_size_limit", always("lease.is_too_large", false)},
      {"any_content_type", always("lease.content_type", true)},
      {"not_found_is_an_error",
       [] {
         at<bool, int>("lease.is_miss",
                       [](bool& is_miss, int& status) { is_miss = status == 504; });
       }},

      // TTL.
      {"ignores_expiry", always("lease.expired", false)},
      {"checks_expiry_before_the_copy_only", checks_expiry_before_the_copy_only},
      {"maps_after_the_answer",
       [] {
         at<std::shared_ptr<const memory::SegmentMapping>, memory::Segment>(
             "lease.mapping", [](auto& mapping, memory::Segment& segment) {
               if (auto later = segment.current()) mapping = *later;
             });
       }},
      {"asks_for_longer_leases", asks_for_longer_leases},
      {"whole_seconds", whole_seconds},

      // Shared memory.
      {"maps_writable",
       [] {
         at<int, int>("segment.map", [](int& access, int& protection) {
           access = O_RDWR;
           protection |= PROT_WRITE;
         });
       }},
      {"first_fragment_goes_on",
       [] {
         using Bytes = std::span<const std::byte>;
         at<Bytes, std::vector<Bytes>>("lease.fragment", [](Bytes& bytes, auto& before) {
           if (before.empty()) return;
           bytes = {before.back().data() + before.back().size(), bytes.size()};
         });
       }},
      {"keeps_the_old_mapping",
       [] {
         at<bool, const struct stat, const memory::SegmentMapping>(
             "segment.is_same", [](bool& same, const auto&, const auto&) { same = true; });
       }},
      {"never_looks_again", never_looks_again},
      {"ignores_the_size",
       [] {
         at<bool, const struct stat, const memory::SegmentMapping>(
             "segment.is_same", [](bool& same, const struct stat& status, const auto& mapping) {
               same = memory::SegmentIdentity{status.st_dev, status.st_ino} == mapping.identity();
             });
       }},
      {"unlinks_at_exit", unlinks_at_exit},

      // Breaker and recovery.
      {"misses_open_the_breaker",
       [] {
         at<std::optional<bool>, HttpOutcome>("transport.judge",
                                              [](std::optional<bool>& alive, HttpOutcome& outcome) {
                                                if (!outcome) return;
                                                const int status = outcome->status;
                                                if (status == 404 || status == 409 || status == 504)
                                                  alive = false;
                                              });
       }},
      {"breaker_never_opens", always("breaker.count", false)},
      {"breaker_never_closes", always("breaker.probe", false)},
      {"any_2xx_is_stored", put_status([](int status) { return status / 100 == 2; })},
      {"failures_are_stored", put_status([](int) { return true; })},
      {"retries_puts", retries_puts},
      {"loses_what_meets_a_closed_connection", loses_what_meets_a_closed_connection},

      // Wire.
      {"encodes_twice", object_target([](std::string_view bucket, std::string_view key) {
         using transport::encode_segment;
         return "/v1/kv/" + encode_segment(bucket) + "/" + encode_segment(encode_segment(key));
       })},
      {"composes_letters", key_as(composed)},
      {"trims_keys", key_as(without_outer_spaces)},
      {"cuts_long_keys",
       key_as([](std::string_view key) { return std::string(key.substr(0, 255)); })},
      {"ignores_the_bucket", object_target([](std::string_view, std::string_view key) {
         return "/v1/kv/lmcache/" + transport::encode_segment(key);
       })},
      {"bare_slashes", escape([](bool& bare, char& c) { bare = bare || c == '/'; })},
      {"plus_for_a_space", escape([](bool& bare, char& c) {
         if (c != ' ') return;
         bare = true;
         c = '+';
       })},
      {"lower_case_escapes", always("target.hex", std::string_view("0123456789abcdef"))},
      {"expects_to_be_told_to_continue",
       [] {
         at<std::string, const HttpRequest>("send.head",
                                            [](std::string& head, const HttpRequest& request) {
                                              if (request.method == HttpRequest::Method::put)
                                                head += "Expect: 100-continue\r\n";
                                            });
       }},
      {"own_user_agent", always("send.user_agent", std::string_view("my-client/1.0"))},
      {"big_endian_header", [] { at<int>("chunk.shift", [](int& shift) { shift = 24 - shift; }); }},
      {"always_a_header", always_a_header},
      {"one_piece", always("send.piece_bytes", std::numeric_limits<std::uint64_t>::max())},
      {"takes_any_timeout", always("options.min_timeout", milliseconds{0})},

      // Batches.
      {"one_failure_fails_all", one_failure_fails_all},
      {"counts_beyond_a_miss", counts_beyond_a_miss},
      {"counts_errors", counts_errors},
      {"serial_look_ups", always("lookup.window", std::size_t{1})},

      // Workers.
      {"forgets_that_it_was_forked",
       [] {
         at<std::uint32_t, const std::uint32_t>(
             "fork.generation", [](std::uint32_t& now, const std::uint32_t& made) { now = made; });
       }},
  };
  return all;
}

// Before main() begins.
[[maybe_unused]] const bool set_chosen = [] {
  const char* const chosen = std::getenv("HYPERPOD_DEFECT");
  if (chosen == nullptr || *chosen == '\0') return false;
  const auto defect = defects().find(chosen);
  if (defect == defects().end()) {
    std::fprintf(stderr, "HYPERPOD_DEFECT: there is no defect '%s'\n", chosen);
    std::_Exit(2);
  }
  // All of a defective client is on the I/O thread, as the defects are.
  points::at<bool>("transport.lend", [](bool& lends) { lends = false; });
  defect->second();
  return true;
}();

}  // namespace
}  // namespace hyperpod::client
