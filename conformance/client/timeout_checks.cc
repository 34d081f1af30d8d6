// SPDX-License-Identifier: Apache-2.0
// Timeouts: each call returns within its deadline, whatever the daemon does or does not do.

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>

#include "client/suite.h"
#include "hyperpod/base/file_descriptor.h"
#include "proxy/recording_proxy.h"

namespace hyperpod::conformance::client {
namespace {
namespace timeout {

using namespace std::chrono_literals;
using emulator::FaultOperation;

constexpr std::uint64_t size = 4096;

/// What the client is told that a call may take.
std::chrono::milliseconds deadline(const Check& check) { return check.span(600ms); }

/// When a call has to be over: its deadline, or that of the lease and of its release; the half
/// second that the multi-process client waits longer than it lets the daemon hold a request; and
/// time for the machine.
std::chrono::milliseconds limit(const Check& check) {
  return 2 * deadline(check) + 500ms + check.span(1000ms);
}

Json hurried(const Check& check) {
  check.needs_parameter("timeout_ms");
  return {{"timeout_ms", deadline(check).count()},
          {"lease_wait_timeout_ms", deadline(check).count()},
          {"max_concurrent_requests", 16}};
}

/// A get of a stored key, a put and an exists, each on a daemon that has `trouble` from now on.
/// None may be taken for a success, unless `may_succeed`.
void try_all(Check& check, const emulator::FaultMatch& match, const emulator::Effects& trouble,
             bool may_succeed = false) {
  for (const char* operation : {"get", "put", "exists"}) {
    TestDaemon& daemon = check.daemon();
    ClientProcess client = check.client(daemon, hurried(check));
    const auto keys = check.store_many(daemon, client.bucket(), 1, size);
    daemon.begin();
    daemon.add_fault({.match = match, .script = {trouble}});
    client.set_patience(limit(check));
    ClientOutcome outcome;
    const TimePoint begun = now();
    if (operation == std::string_view("get")) outcome = client.get(keys[0], size);
    if (operation == std::string_view("put")) outcome = client.put(check.fresh_key(), size, 1);
    if (operation == std::string_view("exists")) outcome = client.exists(keys[0]);
    check.figure(operation, in_ms(now() - begun) + ", " + outcome.outcome);
    check.expect(may_succeed || !(outcome.is_hit() || outcome.is_stored()),
                 std::string(operation) + " to end in a miss or an error", outcome.described());
  }
}

void silence_ends(Check& check) {
  emulator::Effects silent;
  silent.ending = emulator::NeverRespond{};
  try_all(check, {}, silent);
  // The bytes may have been read by then.
  try_all(check, {.operation = FaultOperation::release}, silent, true);
}

void late_answer_is_not_waited_for(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 4, size);
  daemon.begin();
  emulator::Effects late;
  late.delay = emulator::Delay{.low = limit(check) + 500ms};
  daemon.add_fault({.match = {.operation = FaultOperation::lease, .first = 1}, .script = {late}});
  client.set_patience(limit(check));
  const ClientOutcome first = client.get(keys[0], size);
  check.expect(!first.is_hit(), "no hit from a response that is late", first.described());
  // Later calls, before and after the late response has come, get their own responses.
  for (std::size_t i = 1; i < keys.size(); ++i) {
    check.expect_hit(client.get(keys[i], size), i, size, "a later get");
    if (i == 1) {
      daemon.await([&] { return daemon.statistics().leases_granted > 1; }, check.span(10s),
                   "the late response");
    }
  }
}

void dribble_does_not_put_off(Check& check) {
  emulator::Effects dribbling;
  dribbling.dribble = check.span(40ms);
  try_all(check, {}, dribbling);
}

void stalled_put_ends(Check& check) {
  // More than all socket buffers on the way hold.
  constexpr std::uint64_t large = 24 << 20;
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.begin();
  // What a driver and its client take for so many bytes where the daemon reads on; that is mostly
  // the making of the payload.
  const TimePoint begun = now();
  (void)client.put(check.fresh_key(), large, 1);
  const Duration unhindered = now() - begun;
  emulator::Effects stalled;
  stalled.ending = emulator::StopReading{64 * 1024};
  daemon.add_fault({.match = {.operation = FaultOperation::put}, .script = {stalled}});
  client.set_patience(limit(check) + 2 * unhindered);
  const ClientOutcome outcome = client.put(check.fresh_key(), large, 1);
  check.expect(!outcome.is_stored(), "put to end in an error", outcome.described());
}

void mute_connection_ends(Check& check) {
  emulator::Effects mute;
  mute.leave_unaccepted = true;
  for (const char* operation : {"get", "put"}) {
    TestDaemon& daemon = check.daemon();
    const auto keys = check.store_many(daemon, "conformance", 1, size);
    daemon.begin();
    daemon.add_fault({.match = {.operation = FaultOperation::connect}, .script = {mute}});
    ClientProcess client = check.client(daemon, hurried(check));
    client.set_patience(limit(check));
    const ClientOutcome outcome = operation == std::string_view("get")
                                      ? client.get(keys[0], size)
                                      : client.put(check.fresh_key(), size, 1);
    check.expect(!(outcome.is_hit() || outcome.is_stored()),
                 std::string(operation) + " to end in a miss or an error", outcome.described());
  }
}

void absent_daemon_ends(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.stop();
  client.set_patience(limit(check));
  const ClientOutcome put = client.put(check.fresh_key(), size, 1);
  const ClientOutcome get = client.get(check.fresh_key(), size);
  const ClientOutcome exists = client.exists(check.fresh_key());
  check.expect(!put.is_stored(), "put to end in an error", put.described());
  check.expect(!get.is_hit() && !exists.is_hit(), "get and exists to end in a miss or an error",
               get.described() + ", " + exists.described());
}

void queueing_counts(Check& check) {
  check.needs_parameter("max_concurrent_requests");
  TestDaemon& daemon = check.daemon();
  Json parameters = hurried(check);
  parameters["max_concurrent_requests"] = 1;
  ClientProcess client = check.client(daemon, parameters);
  const auto keys = check.store_many(daemon, client.bucket(), 8, size);
  daemon.begin();
  emulator::Effects silent;
  silent.ending = emulator::NeverRespond{};
  daemon.add_fault({.script = {silent}});
  std::vector<Json> operations;
  for (const std::string& key : keys) operations.push_back(get_command(key, size));
  client.set_patience(limit(check));
  const TimePoint begun = now();
  (void)client.concurrent(operations);
  check.figure("8 gets behind one another", in_ms(now() - begun));
}

/// How long the client lets the daemon hold a lease request.
std::chrono::milliseconds asked_hold(Check& check) {
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  RecordingProxy recorder(daemon.emulator().port());
  ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), hurried(check));
  (void)client.get(keys[0], size);
  const auto leases = recorder.acquires();
  const std::string asked =
      leases.empty() ? "" : leases[0].head.parameter("timeout_ms").value_or("");
  const long hold = std::strtol(asked.c_str(), nullptr, 10);
  return hold > 0 ? std::chrono::milliseconds(std::min(hold, 60'000L)) : deadline(check);
}

void grant_at_the_last_moment_is_released(Check& check) {
  const auto hold = asked_hold(check);
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto offsets = {-30ms, 0ms, 50ms, 100ms};
  const auto keys = check.store_many(daemon, client.bucket(), offsets.size(), size);
  std::size_t i = 0;
  std::string outcomes;
  for (const auto offset : offsets) {
    daemon.begin();
    emulator::Effects late;
    late.delay = emulator::Delay{.low = std::max(hold + offset, 0ms)};
    daemon.add_fault({.name = "late-" + std::to_string(i),
                      .match = {.operation = FaultOperation::lease, .key = keys[i]},
                      .script = {late}});
    outcomes += (i == 0 ? "" : ", ") + std::to_string(offset.count()) +
                " ms: " + client.get(keys[i], size).outcome;
    // Where the client has gone, the daemon may still be about to grant.
    daemon.await([&] { return !daemon.requests(emulator::JournalOperation::lease).empty(); },
                 check.span(10s), "the end of the lease request");
    const auto granted = daemon.statistics().leases_granted;
    (void)daemon.reaches([&] { return daemon.statistics().live_leases == 0; }, check.span(1s));
    const auto stats = daemon.statistics();
    check.expect(
        stats.live_leases == 0,
        "no lease left by a grant " + std::to_string(offset.count()) +
            " ms after the time that the daemon may hold the request",
        std::to_string(stats.live_leases) + " of " + std::to_string(granted) + " leases nobody's");
    ++i;
  }
  check.figure("gets answered so long after the hold's end", outcomes);
}

void overlong_hold_ends(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  daemon.begin();
  emulator::Effects longer;
  longer.hold_longer = std::chrono::minutes(5);
  daemon.add_fault({.match = {.operation = FaultOperation::lease}, .script = {longer}});
  client.set_patience(limit(check));
  const ClientOutcome outcome = client.get(check.fresh_key(), size);
  check.expect(!outcome.is_hit(), "a miss or an error", outcome.described());
}

/// Stopped and continued, a process finds its system calls interrupted.
void interruptions_do_not_put_off(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 1, size);
  daemon.begin();
  emulator::Effects silent;
  silent.ending = emulator::NeverRespond{};
  daemon.add_fault({.script = {silent}});
  for (const char* operation : {"get", "put"}) {
    const TimePoint begun = now();
    client.send(operation == std::string_view("get") ? get_command(keys[0], size)
                                                     : put_command(check.fresh_key(), size, 1));
    std::jthread interrupting([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        client.process().signal(SIGSTOP);
        client.process().signal(SIGCONT);
        std::this_thread::sleep_for(10ms);
      }
    });
    const Json response = client.receive(limit(check));
    interrupting.request_stop();
    interrupting.join();
    check.figure(operation, in_ms(now() - begun) + ", " + outcome_in(response).outcome);
  }
}

/// Both addresses of localhost, of which the first takes no connection and refuses none: its queue
/// of connections is full.
void second_address_is_tried(Check& check) {
  constexpr int family = AF_INET6;
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  const base::FileDescriptor mute(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = family;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(daemon.emulator().port());
  const int yes = 1;
  ::setsockopt(mute.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  if (::bind(mute.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(mute.get(), 0) != 0) {
    check.skip("the port cannot be had on ::1 as well");
  }
  std::vector<base::FileDescriptor> filling;
  for (int i = 0; i < 4; ++i) {
    filling.emplace_back(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(filling.back().get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", nullptr, &hints, &found) != 0) check.skip("no localhost here");
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  if (found->ai_family != family || found->ai_next == nullptr)
    check.skip("localhost has not two addresses here, ::1 first");
  ClientProcess client = check.client_at(
      "http://localhost:" + std::to_string(daemon.emulator().port()), daemon.shm_name(),
      {{"timeout_ms", check.span(3000ms).count()},
       {"lease_wait_timeout_ms", check.span(3000ms).count()}});
  const TimePoint begun = now();
  check.expect_hit(client.get(keys[0], size), 0, size, "a get where ::1 is mute");
  check.figure("a get where the first address is mute", in_ms(now() - begun));
}

}  // namespace timeout
}  // namespace

std::span<const CheckEntry> timeout_checks() {
  using namespace timeout;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-TIME-01", core, parallel, silence_ends},
      {"C-TIME-02", core, parallel, late_answer_is_not_waited_for},
      {"C-TIME-03", core, parallel, dribble_does_not_put_off},
      {"C-TIME-04", core, parallel, stalled_put_ends},
      {"C-TIME-05", core, parallel, mute_connection_ends},
      {"C-TIME-06", core, parallel, absent_daemon_ends},
      {"C-TIME-07", core, parallel, queueing_counts},
      {"C-TIME-08", core, parallel, grant_at_the_last_moment_is_released},
      {"C-TIME-09", core, parallel, overlong_hold_ends},
      {"C-TIME-10", core, parallel, interruptions_do_not_put_off},
      {"C-TIME-11", full, parallel, second_address_is_tried},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
