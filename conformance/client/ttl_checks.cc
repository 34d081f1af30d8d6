// SPDX-License-Identifier: Apache-2.0
// TTL: what a client does whose time has run out without its noticing. Its process is stopped with
// SIGSTOP at the point in question and continued when the bytes under its lease are others.
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/other_segment.h"
#include "client/payload.h"
#include "client/suite.h"
#include "probe/segment.h"
#include "proxy/mutating_proxy.h"
#include "proxy/recording_proxy.h"

namespace hyperpod::conformance::client {
namespace {
namespace ttl {

using namespace std::chrono_literals;
using emulator::FaultOperation;
using emulator::JournalOperation;

constexpr std::uint64_t size = 64 * 1024;

/// What a stopped client must not give out.
void expect_no_stale_hit(Check& check, const ClientOutcome& outcome, std::string_view original) {
  const bool right = outcome.is_hit() && outcome.sha256 == sha256_hex(original);
  check.figure("outcome after the stop", outcome.outcome);
  check.expect(!outcome.is_hit() || right, "a miss, an error, or the right bytes",
               "a hit of bytes that are not the object's");
}

/// Waits until a poisoned object has ended with its lease. Its room is free once all of its bytes
/// have been overwritten, which for a large one is after the lease counts as expired.
void await_poison(TestDaemon& daemon, std::uint64_t used_before, std::chrono::milliseconds within) {
  daemon.await([&] { return daemon.statistics().used_bytes < used_before; }, within,
               "the end of the TTL, and of the object");
}

/// A get that is stopped when its lease has been granted and before its response arrives.
struct StoppedGet {
  TestDaemon& daemon;
  ClientProcess client;
  std::string key;
  std::uint64_t used_before;

  StoppedGet(Check& check, TestDaemon& test_daemon, std::chrono::milliseconds ttl,
             const std::optional<std::string>& poison)
      : daemon(test_daemon),
        client(check.client(daemon, {{"timeout_ms", check.span(20s).count()},
                                     {"lease_wait_timeout_ms", check.span(20s).count()},
                                     {"lease_ttl_s", Check::seconds(ttl)}})) {
    // The first get maps the segment, as a client at work has.
    const auto keys = check.store_many(daemon, client.bucket(), 2, size);
    check.expect_hit(client.get(keys[0], size), 0, size, "a get in time");
    key = keys[1];
    used_before = daemon.statistics().used_bytes;
    daemon.begin();
    emulator::Effects late;
    late.delay = emulator::Delay{.low = check.span(300ms)};
    late.poison = poison;
    daemon.add_fault(
        {.name = "late", .match = {.operation = FaultOperation::lease}, .script = {late}});
    client.send(get_command(key, size));
    daemon.await([&] { return daemon.statistics().leases_granted == 1; }, check.span(10s),
                 "the grant");
    if (!client.process().stop()) throw SuiteFailure{"the client could not be stopped"};
    daemon.await([&] { return !daemon.requests(JournalOperation::lease).empty(); }, check.span(10s),
                 "the response to the stopped client");
  }

  ClientOutcome go_on() {
    client.process().resume();
    return client.receive_outcome();
  }
};

constexpr std::uint64_t seed_of_stopped = 1;

void poisoned_bytes_stay_in(Check& check) {
  const auto ttl = check.span(1000ms);
  StoppedGet get(check, check.daemon(), ttl, "poisoned");
  await_poison(get.daemon, get.used_before, ttl + check.span(10s));
  expect_no_stale_hit(check, get.go_on(), payload(seed_of_stopped, size));
}

/// The room of an object is used anew at the very moment at which its lease is released.
void expect_copy_before_release(Check& check) {
  struct Seen {
    std::mutex mutex;
    std::vector<Fragment> fragments;
  };
  const auto seen = std::make_shared<Seen>();
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  daemon.begin();
  Mutation reusing;
  reusing.response = [seen](const ReceivedRequest& asked, ResponseMessage& response) {
    if (!asked.head.is_acquire() || response.status != 200) return;
    const Json grant = Json::parse(response.body);
    const std::lock_guard lock(seen->mutex);
    for (const Json& fragment : grant.at("offsets"))
      seen->fragments.push_back({fragment.at("offset"), fragment.at("len")});
  };
  reusing.request = [seen, path = daemon.segment_path()](
                        RequestHead& head,
                        const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (head.method != "POST" || !head.target.starts_with("/v1/leases/")) return std::nullopt;
    const std::lock_guard lock(seen->mutex);
    std::fstream segment(path, std::ios::in | std::ios::out | std::ios::binary);
    for (const Fragment& fragment : seen->fragments) {
      segment.seekp(static_cast<std::streamoff>(fragment.offset));
      segment << std::string(fragment.len, '!');
    }
    return std::nullopt;
  };
  MutatingProxy proxy(daemon.emulator().port(), reusing);
  ClientProcess client = check.client_at("http://127.0.0.1:" + std::to_string(proxy.port()),
                                         daemon.shm_name(), Json::object());
  expect_no_stale_hit(check, client.get(keys[0], size), payload(0, size));
}

void bytes_of_another_stay_in(Check& check) {
  const auto ttl = check.span(1000ms);
  // Eight blocks, so that eight other objects take all the room.
  TestDaemon& daemon = check.daemon([](emulator::Options& options) {
    options.block_size = size;
    options.capacity = 8 * size;
  });
  StoppedGet get(check, daemon, ttl, std::nullopt);
  daemon.await([&] { return daemon.statistics().leases_expired == 1; }, ttl + check.span(10s),
               "the end of the TTL");
  (void)check.store_many(daemon, get.client.bucket(), 8, size, 100);
  expect_no_stale_hit(check, get.go_on(), payload(seed_of_stopped, size));
  expect_copy_before_release(check);
}

/// Bytes of this mapping that a process has touched, as /proc/PID/smaps tells; 0 if it has none.
std::uint64_t resident(pid_t pid, const std::string& path) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps");
  std::uint64_t total = 0;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    const bool header = line.size() > 20 && line.find('-') < 20 && line[0] != ' ' &&
                        std::isxdigit(static_cast<unsigned char>(line[0])) != 0;
    if (header) inside = line.ends_with(" " + path);
    if (inside && line.starts_with("Rss:")) total += 1024 * std::stoull(line.substr(4));
  }
  return total;
}

/// While it lives, a process runs on the caller's CPU only, and only while the caller sleeps: on
/// waking, the caller has the CPU back at once, however busy the machine is.
class Stepping {
 public:
  explicit Stepping(pid_t pid) {
    if (::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    const int here = ::sched_getcpu();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(std::max(here, 0)), &one);
    pinned_ = ::sched_setaffinity(0, sizeof one, &one) == 0;
    std::error_code none;
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", none)) {
      // A thread that has ended meanwhile needs neither.
      const int id = std::stoi(thread.path().filename().string());
      (void)::sched_setaffinity(id, sizeof one, &one);
      (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(id), 19);
    }
  }
  Stepping(const Stepping&) = delete;
  Stepping& operator=(const Stepping&) = delete;
  ~Stepping() {
    if (pinned_) (void)::sched_setaffinity(0, sizeof before_, &before_);
  }

  static void step() { std::this_thread::sleep_for(100us); }

 private:
  cpu_set_t before_{};
  bool pinned_ = false;
};

/// Stops the client while it copies: some pages of the object have been touched, others not yet.
bool stop_within_copy(Check& check, ClientProcess& client, const std::string& path,
                      std::uint64_t before, std::uint64_t bytes) {
  const pid_t pid = client.process().pid();
  const TimePoint deadline = now() + check.span(5s);
  for (; now() < deadline; Stepping::step()) {
    if (resident(pid, path) <= before) continue;
    if (!client.process().stop()) throw SuiteFailure{"the client could not be stopped"};
    const std::uint64_t touched = resident(pid, path) - before;
    return touched > 0 && touched < bytes - bytes / 16;
  }
  return false;
}

void copy_that_ends_late_is_a_miss(Check& check) {
  constexpr std::uint64_t large = 64 << 20;
  constexpr int attempts = 6;
  const auto ttl = check.span(1500ms);
  const std::string original = payload(7, 1 << 20);
  std::string object_payload;
  while (object_payload.size() < large) object_payload += original;
  TestDaemon& daemon = check.daemon([](emulator::Options& options) {
    options.block_size = 1 << 20;
    options.capacity = large + (8 << 20);
  });
  for (int attempt = 1; attempt <= attempts; ++attempt) {
    ClientProcess client = check.client(
        daemon, {{"lease_ttl_s", Check::seconds(ttl)}, {"timeout_ms", check.span(20s).count()}});
    const auto warm = check.store_many(daemon, client.bucket(), 1, 4096);
    check.expect_hit(client.get(warm[0], 4096), 0, 4096, "a get in time");
    const std::string key = check.fresh_key();
    daemon.store(client.bucket(), key, check.object(object_payload));
    daemon.begin();
    emulator::Effects poisoned;
    poisoned.poison = "poisoned";
    daemon.add_fault({.name = "poison-" + std::to_string(attempt),
                      .match = {.operation = FaultOperation::lease, .key = key},
                      .script = {poisoned}});
    const std::uint64_t before = resident(client.process().pid(), daemon.segment_path());
    const std::uint64_t used_before = daemon.statistics().used_bytes;
    const Stepping stepping(client.process().pid());
    client.send(get_command(key, large));
    if (!stop_within_copy(check, client, daemon.segment_path(), before, large)) {
      client.process().resume();
      (void)client.receive_outcome();
      continue;
    }
    check.figure("attempts until the copy was caught", std::to_string(attempt));
    await_poison(daemon, used_before, ttl + check.span(10s));
    client.process().resume();
    return expect_no_stale_hit(check, client.receive_outcome(), object_payload);
  }
  check.skip("the client could not be stopped in the middle of a copy of 64 MiB, " +
             std::to_string(attempts) + " times");
}

/// A lease that is granted when the segment under the name is another one already: its places are
/// those of the new segment.
void expect_new_segment_read(Check& check) {
  constexpr std::uint64_t seed_of_new = 50;
  TestDaemon& daemon = check.daemon();
  TestDaemon& next = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 2, size);
  // At the same places.
  for (std::size_t i = 0; i < keys.size(); ++i)
    next.store("conformance", keys[i], check.object(payload(seed_of_new + i, size)));
  OtherSegment other(daemon, next);
  ClientProcess client = check.client_at(other.url(), daemon.shm_name(), Json::object());
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before the segment is replaced");
  other.replace_at_next_grant();
  expect_no_stale_hit(check, client.get(keys[1], size), payload(seed_of_new + 1, size));
}

void restart_in_between_is_noticed(Check& check) {
  StoppedGet get(check, check.daemon(), check.span(60s), std::nullopt);
  emulator::Effects restart;
  restart.incident = emulator::Incident::restart;
  get.daemon.cause(restart);
  // Other bytes stand at every offset that the old segment had in use.
  (void)check.store_many(get.daemon, get.client.bucket(), 4, size, 100);
  expect_no_stale_hit(check, get.go_on(), payload(seed_of_stopped, size));
  expect_new_segment_read(check);
}

void asked_ttl_is_the_configured_one(Check& check) {
  const auto asked = [&](const Json& parameters) {
    TestDaemon& daemon = check.daemon();
    const auto keys = check.store_many(daemon, "conformance", 1, size);
    RecordingProxy recorder(daemon.emulator().port());
    ClientProcess client = check.client_at(recorder.url(), daemon.shm_name(), parameters);
    check.expect_hit(client.get(keys[0], size), 0, size, "a get");
    const auto leases = recorder.acquires();
    return leases.empty() ? "" : leases[0].head.parameter("ttl_s").value_or("");
  };
  const std::string by_default = asked(Json::object());
  check.expect(std::strtod(by_default.c_str(), nullptr) == 30, "ttl_s=30.0 by default", by_default);
  check.needs_parameter("lease_ttl_s");
  const std::string told = asked({{"lease_ttl_s", 7.5}});
  check.expect(std::strtod(told.c_str(), nullptr) == 7.5, "ttl_s=7.5 when told so", told);
}

}  // namespace ttl
}  // namespace

std::span<const CheckEntry> client_ttl_checks() {
  using namespace ttl;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-TTL-01", core, parallel, poisoned_bytes_stay_in},
      {"C-TTL-02", core, parallel, bytes_of_another_stay_in},
      {"C-TTL-03", core, exclusive, copy_that_ends_late_is_a_miss},
      {"C-TTL-04", core, parallel, restart_in_between_is_noticed},
      {"C-TTL-05", core, parallel, asked_ttl_is_the_configured_one},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
