// Timeouts: each call returns within its deadline, whatever the daemon does or does not do.

#include "client/suite.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;
using emulator::FaultOperation;

constexpr std::uint64_t size = 4096;

/// What the client is told that a call may take.
std::chrono::milliseconds deadline(const ClientCheck& check) { return check.span(600ms); }

/// When a call has to be over: its deadline, or that of the lease and of its release; the half
/// second that the multi-process client waits longer than it lets the daemon hold a request; and
/// time for the machine.
std::chrono::milliseconds limit(const ClientCheck& check) {
  return 2 * deadline(check) + 500ms + check.span(1000ms);
}

Json hurried(const ClientCheck& check) {
  check.needs_parameter("timeout_ms");
  return {{"timeout_ms", deadline(check).count()},
          {"lease_wait_timeout_ms", deadline(check).count()},
          {"max_concurrent_requests", 16}};
}

/// A get of a stored key, a put and an exists, each on a daemon that has `trouble` from now on.
/// None may be taken for a success, unless `may_succeed`.
void try_all(ClientCheck& check, const emulator::FaultMatch& match,
             const emulator::Effects& trouble, bool may_succeed = false) {
  for (const char* operation : {"get", "put", "exists"}) {
    PlayedDaemon& daemon = check.daemon();
    TestedClient client = check.client(daemon, hurried(check));
    const auto keys = check.store_many(daemon, client.bucket(), 1, size);
    daemon.begin();
    daemon.add_fault({.match = match, .script = {trouble}});
    client.set_patience(limit(check));
    ClientOutcome outcome;
    const Moment begun = now();
    if (operation == std::string_view("get")) outcome = client.get(keys[0], size);
    if (operation == std::string_view("put")) outcome = client.put(check.fresh_key(), size, 1);
    if (operation == std::string_view("exists")) outcome = client.exists(keys[0]);
    check.figure(operation, in_ms(now() - begun) + ", " + outcome.outcome);
    check.expect(may_succeed || !(outcome.is_hit() || outcome.is_stored()),
                 std::string(operation) + " to end in a miss or an error", outcome.described());
  }
}

void silence_ends(ClientCheck& check) {
  emulator::Effects silent;
  silent.ending = emulator::NeverRespond{};
  try_all(check, {}, silent);
}

void late_answer_is_not_waited_for(ClientCheck& check) {
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 4, size);
  daemon.begin();
  emulator::Effects late;
  late.delay = emulator::Delay{.low = limit(check) + 500ms};
  daemon.add_fault({.match = {.operation = FaultOperation::lease, .first = 1}, .script = {late}});
  client.set_patience(limit(check));
  const ClientOutcome first = client.get(keys[0], size);
  check.expect(!first.is_hit(), "no hit from an answer that is late", first.described());
  // Later calls, before and after the late answer has come, get their own answers.
  for (std::size_t i = 1; i < keys.size(); ++i) {
    check.expect_hit(client.get(keys[i], size), i, size, "a later get");
    if (i == 1) {
      daemon.await([&] { return daemon.statistics().leases_granted > 1; }, check.span(10s),
                   "the late answer");
    }
  }
}

void dribble_does_not_put_off(ClientCheck& check) {
  emulator::Effects dribbling;
  dribbling.dribble = check.span(40ms);
  try_all(check, {}, dribbling);
}

void stalled_put_ends(ClientCheck& check) {
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  daemon.begin();
  emulator::Effects stalled;
  stalled.ending = emulator::StopReading{64 * 1024};
  daemon.add_fault({.match = {.operation = FaultOperation::put}, .script = {stalled}});
  client.set_patience(limit(check));
  // More than all socket buffers on the way hold.
  const ClientOutcome outcome = client.put(check.fresh_key(), 24 << 20, 1);
  check.expect(!outcome.is_stored(), "put to end in an error", outcome.described());
}

void mute_connection_ends(ClientCheck& check) {
  emulator::Effects mute;
  mute.leave_unaccepted = true;
  for (const char* operation : {"get", "put"}) {
    PlayedDaemon& daemon = check.daemon();
    const auto keys = check.store_many(daemon, "conformance", 1, size);
    daemon.begin();
    daemon.add_fault({.match = {.operation = FaultOperation::connect}, .script = {mute}});
    TestedClient client = check.client(daemon, hurried(check));
    client.set_patience(limit(check));
    const ClientOutcome outcome = operation == std::string_view("get")
                                      ? client.get(keys[0], size)
                                      : client.put(check.fresh_key(), size, 1);
    check.expect(!(outcome.is_hit() || outcome.is_stored()),
                 std::string(operation) + " to end in a miss or an error", outcome.described());
  }
}

void absent_daemon_ends(ClientCheck& check) {
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  daemon.stop();
  client.set_patience(limit(check));
  const ClientOutcome put = client.put(check.fresh_key(), size, 1);
  const ClientOutcome get = client.get(check.fresh_key(), size);
  const ClientOutcome exists = client.exists(check.fresh_key());
  check.expect(!put.is_stored(), "put to end in an error", put.described());
  check.expect(!get.is_hit() && !exists.is_hit(), "get and exists to end in a miss or an error",
               get.described() + ", " + exists.described());
}

void queueing_counts(ClientCheck& check) {
  check.needs_parameter("max_concurrent_requests");
  PlayedDaemon& daemon = check.daemon();
  Json parameters = hurried(check);
  parameters["max_concurrent_requests"] = 1;
  TestedClient client = check.client(daemon, parameters);
  const auto keys = check.store_many(daemon, client.bucket(), 8, size);
  daemon.begin();
  emulator::Effects silent;
  silent.ending = emulator::NeverRespond{};
  daemon.add_fault({.script = {silent}});
  std::vector<Json> operations;
  for (const std::string& key : keys) operations.push_back(get_command(key, size));
  client.set_patience(limit(check));
  const Moment begun = now();
  (void)client.concurrent(operations);
  check.figure("8 gets behind one another", in_ms(now() - begun));
}

void grant_at_the_last_moment_is_released(ClientCheck& check) {
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  const auto offsets = {-30ms, 0ms, 50ms, 100ms};
  const auto keys = check.store_many(daemon, client.bucket(), offsets.size(), size);
  std::size_t i = 0;
  std::string outcomes;
  for (const auto offset : offsets) {
    daemon.begin();
    emulator::Effects late;
    late.delay = emulator::Delay{.low = deadline(check) + offset};
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

void overlong_hold_ends(ClientCheck& check) {
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  daemon.begin();
  emulator::Effects longer;
  longer.hold_longer = std::chrono::minutes(5);
  daemon.add_fault({.match = {.operation = FaultOperation::lease}, .script = {longer}});
  client.set_patience(limit(check));
  const ClientOutcome outcome = client.get(check.fresh_key(), size);
  check.expect(!outcome.is_hit(), "a miss or an error", outcome.described());
}

}  // namespace

std::span<const ClientCheckEntry> timeout_checks() {
  using enum Profile;
  static constexpr ClientCheckEntry entries[]{
      {"C-TIME-01", core, false, silence_ends},
      {"C-TIME-02", core, false, late_answer_is_not_waited_for},
      {"C-TIME-03", core, false, dribble_does_not_put_off},
      {"C-TIME-04", core, false, stalled_put_ends},
      {"C-TIME-05", core, false, mute_connection_ends},
      {"C-TIME-06", core, false, absent_daemon_ends},
      {"C-TIME-07", core, false, queueing_counts},
      {"C-TIME-08", core, false, grant_at_the_last_moment_is_released},
      {"C-TIME-09", core, false, overlong_hold_ends},
  };
  return entries;
}

}  // namespace hyperpod::conformance
