// SPDX-License-Identifier: Apache-2.0
// Shared memory: that a client only reads the segment, reads it right, and survives what becomes of
// it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>

#include "client/payload.h"
#include "client/suite.h"
#include "probe/segment.h"

namespace hyperpod::conformance::client {
namespace {
namespace memory {

using namespace std::chrono_literals;

constexpr std::uint64_t size = 200'000;

emulator::Effects incident(emulator::Incident what) {
  emulator::Effects effects;
  effects.incident = what;
  return effects;
}

/// A client that is begun while the segment cannot be used; nullopt if it says so by not beginning,
/// as it may.
std::optional<ClientProcess> begun_while(Check& check, TestDaemon& daemon, const Json& parameters,
                                         const std::string& state, bool obey_modes = false) {
  try {
    return check.client(daemon, parameters, "conformance", obey_modes);
  } catch (const SuiteFailure& failure) {
    check.figure("begun while the segment " + state, failure.what);
    return std::nullopt;
  }
}

/// Short deadlines, so that waits for what is not there end.
Json hurried(const Check& check) {
  return {{"timeout_ms", check.span(500ms).count()},
          {"lease_wait_timeout_ms", check.span(500ms).count()}};
}

/// The permissions ("r--s") of each mapping of the segment in the client's process.
std::vector<std::string> mappings(pid_t pid, const std::string& path) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/maps");
  std::vector<std::string> permissions;
  for (std::string line; std::getline(file, line);) {
    if (line.find(path) == std::string::npos) continue;
    const auto space = line.find(' ');
    permissions.push_back(line.substr(space + 1, 4));
  }
  return permissions;
}

void mapping_is_read_only(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon);
  const auto keys = check.store_many(daemon, client.bucket(), 1, size);
  check.expect_hit(client.get(keys[0], size), 0, size, "a get");
  (void)client.put(check.fresh_key(), size, 1);
  const auto found = mappings(client.process().pid(), daemon.segment_path());
  // A client may also read through the file, and then has nothing mapped.
  check.figure("mappings of the segment", std::to_string(found.size()));
  for (const std::string& permissions : found)
    check.expect(permissions[1] == '-', "mappings without the right to write", permissions);
}

void any_fragments_are_read_right(Check& check) {
  using enum emulator::Placement;
  for (const auto placement : {contiguous, scattered, worst_case}) {
    TestDaemon& daemon = check.daemon([&](emulator::Options& options) {
      options.placement = placement;
      options.block_size = 16 * 1024;
    });
    const bool headers = check.target().facts.header != DriverFacts::Header::never;
    ClientProcess client = check.client(daemon, {{"save_chunk_meta", headers}});
    std::size_t seed = 0;
    for (const std::uint64_t bytes :
         {size, std::uint64_t{2}, std::uint64_t{16 * 1024}, std::uint64_t{1 << 20}}) {
      const std::string key = check.fresh_key();
      daemon.store(client.bucket(), key,
                   (headers ? chunk_header(bytes) : "") + payload(++seed, bytes));
      check.expect_hit(client.get(key, bytes), seed, bytes,
                       "an object of " + std::to_string(bytes) + " bytes in scattered fragments");
    }
  }
}

/// Waits until gets of the key are hits again.
void expect_healed(Check& check, ClientProcess& client, const std::string& key, std::uint64_t seed,
                   std::string_view when) {
  // A breaker may have opened meanwhile, and tries again after 5 s.
  const TimePoint deadline = now() + check.span(7s);
  ClientOutcome outcome = client.get(key, size);
  while (!outcome.is_hit() && now() < deadline) {
    ::usleep(50'000);
    outcome = client.get(key, size);
  }
  check.expect_hit(outcome, seed, size, when);
}

void replaced_segment_is_noticed(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto before = check.store_many(daemon, client.bucket(), 4, size);
  check.expect_hit(client.get(before[0], size), 0, size, "a get before");
  daemon.cause(incident(emulator::Incident::restart));
  const auto after = check.store_many(daemon, client.bucket(), 4, size, 100);
  for (std::size_t i = 0; i < after.size(); ++i) {
    const ClientOutcome outcome = client.get(after[i], size);
    check.expect(!outcome.is_hit() || outcome.sha256 == sha256_hex(payload(100 + i, size)),
                 "bytes of the new segment", "a hit of other bytes");
  }
  expect_healed(check, client, after[0], 100, "a get from the new segment");
}

void unlinked_segment_is_survived(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 2, size);
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before");
  daemon.cause(incident(emulator::Incident::unlink_segment));
  const ClientOutcome orphaned = client.get(keys[1], size);
  check.figure("a get while the segment is unlinked", orphaned.outcome);
  check.expect(!orphaned.is_hit() || orphaned.sha256 == sha256_hex(payload(1, size)),
               "a miss, an error or the right bytes", "a hit of other bytes");
  (void)client.put(check.fresh_key(), size, 3);
  daemon.start_again();
  const auto anew = check.store_many(daemon, client.bucket(), 1, size, 100);
  expect_healed(check, client, anew[0], 100, "a get once the daemon was started again");
}

void empty_segment_is_survived(Check& check) {
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 2, size);
  emulator::Effects empty = incident(emulator::Incident::empty_segment);
  empty.lasting = check.span(1500ms);
  daemon.cause(empty);
  auto client = begun_while(check, daemon, hurried(check), "is empty");
  if (client) {
    const ClientOutcome outcome = client->get(keys[0], size);
    // On a busy machine it may have come back meanwhile.
    check.expect(!outcome.is_hit() || daemon.emulator().segment().linked,
                 "a miss or an error while the segment is empty", outcome.described());
  }
  daemon.await([&] { return daemon.emulator().segment().linked; }, check.span(10s),
               "the segment's return");
  if (!client) client.emplace(check.client(daemon, hurried(check)));
  expect_healed(check, *client, keys[1], 1, "a get once the segment is whole");
}

void forbidden_segment_is_survived(Check& check) {
  TestDaemon& daemon = check.daemon();
  const auto keys = check.store_many(daemon, "conformance", 2, size);
  emulator::Effects closed = incident(emulator::Incident::change_mode);
  closed.mode = 0;
  daemon.cause(closed);
  auto client = begun_while(check, daemon, hurried(check), "may not be opened", true);
  if (client && client->get(keys[0], size).is_hit())
    check.skip("this user may open any file, whatever its mode");
  emulator::Effects open = incident(emulator::Incident::change_mode);
  open.mode = 0600;
  daemon.cause(open);
  if (!client) client.emplace(check.client(daemon, hurried(check), "conformance", true));
  expect_healed(check, *client, keys[1], 1, "a get once the segment may be opened");
}

void shrunk_segment_is_survived(Check& check) {
  TestDaemon& daemon = check.daemon([](emulator::Options& options) {
    options.block_size = 64 * 1024;
    options.capacity = 16 * 64 * 1024;
  });
  ClientProcess client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 4, size);
  check.expect_hit(client.get(keys[0], size), 0, size, "a get before");
  // Only the client reads from here on, so the emulator's own mapping is not touched.
  if (::truncate(daemon.segment_path().c_str(), 4096) != 0)
    throw SuiteFailure{"the segment could not be cut"};
  const ClientOutcome outcome = client.get(keys[3], size);
  check.expect(!outcome.is_hit(), "a miss or an error: the segment ends before the object does",
               outcome.described());
}

/// What must not change, whatever the client does when it ends.
struct Snapshot {
  SegmentFacts facts;
  std::string digest;
  bool operator==(const Snapshot&) const = default;
};

Snapshot snapshot(TestDaemon& daemon) {
  const auto facts = look_at_segment(daemon.shm_name());
  if (!facts) throw Violation{"the segment under its name", facts.error().message};
  std::ifstream file(daemon.segment_path(), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return {*facts, sha256_hex(bytes)};
}

void segment_outlives_the_client(Check& check) {
  TestDaemon& daemon = check.daemon([](emulator::Options& options) { options.capacity = 4 << 20; });
  const auto keys = check.store_many(daemon, "conformance", 1, size);
  const auto survives = [&](const std::string& how,
                            const std::function<void(ClientProcess&)>& end) {
    if (how == "raise" && !check.target().facts.operations.contains("raise")) return;
    ClientProcess client = check.client(daemon, {{"lease_ttl_s", 600}});
    check.expect_hit(client.get(keys[0], size), 0, size, "a get");
    const Snapshot before = snapshot(daemon);
    end(client);
    if (!client.process().wait(check.span(10s)))
      throw Violation{"the client's process to end: " + how, "it still runs after 10 s"};
    // What cleans up behind a process, as Python's resource tracker does, is a process of its own.
    const bool changed = daemon.reaches([&] { return !(snapshot(daemon) == before); }, 200ms);
    check.expect(!changed, "inode, size, mode and bytes of the segment as they were, after " + how,
                 "a change of them");
  };
  survives("the end of its input", [](ClientProcess& client) { client.process().finish_input(); });
  survives("close and the end of its input", [](ClientProcess& client) {
    client.close();
    client.process().finish_input();
  });
  survives("raise", [](ClientProcess& client) { client.send({{"op", "raise"}}); });
  survives("SIGTERM", [](ClientProcess& client) { client.process().signal(SIGTERM); });
  survives("SIGKILL", [](ClientProcess& client) { client.process().signal(SIGKILL); });
}

/// A restart whose segment belongs to somebody else: it can no longer be read when it is mapped
/// anew.
void segment_that_became_unreadable_is_survived(Check& check) {
  TestDaemon& daemon = check.daemon();
  ClientProcess client = check.client(daemon, hurried(check), "conformance", true);
  const auto before = check.store_many(daemon, client.bucket(), 1, size);
  check.expect_hit(client.get(before[0], size), 0, size, "a get before");
  daemon.cause(incident(emulator::Incident::restart));
  emulator::Effects closed = incident(emulator::Incident::change_mode);
  closed.mode = 0;
  daemon.cause(closed);
  const auto after = check.store_many(daemon, client.bucket(), 2, size, 100);
  const ClientOutcome outcome = client.get(after[0], size);
  check.expect(!outcome.is_hit() || outcome.sha256 == sha256_hex(payload(100, size)),
               "a miss, an error or the right bytes", "a hit of other bytes");
  check.figure("a get while the new segment may not be read", outcome.outcome);
  emulator::Effects open = incident(emulator::Incident::change_mode);
  open.mode = 0600;
  daemon.cause(open);
  expect_healed(check, client, after[1], 101, "a get once the new segment may be read");
}

}  // namespace memory
}  // namespace

std::span<const CheckEntry> client_memory_checks() {
  using namespace memory;
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"C-SHM-01", core, parallel, mapping_is_read_only},
      {"C-SHM-02", core, parallel, any_fragments_are_read_right},
      {"C-SHM-03", core, parallel, replaced_segment_is_noticed},
      {"C-SHM-04", core, parallel, unlinked_segment_is_survived},
      {"C-SHM-05", core, parallel, empty_segment_is_survived},
      {"C-SHM-06", core, parallel, forbidden_segment_is_survived},
      {"C-SHM-07", core, parallel, shrunk_segment_is_survived},
      {"C-SHM-08", core, parallel, segment_outlives_the_client},
      {"C-SHM-09", core, parallel, segment_that_became_unreadable_is_survived},
  };
  return entries;
}

}  // namespace hyperpod::conformance::client
