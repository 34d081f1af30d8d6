// Batches: that one key's failure is its own.
#include "client/suite.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;
using emulator::FaultOperation;

constexpr std::uint64_t size = 4096;

Json hurried(const ClientCheck& check) {
  return {{"timeout_ms", check.span(500ms).count()},
          {"lease_wait_timeout_ms", check.span(300ms).count()}};
}

void gets_spoil_no_others(ClientCheck& check) {
  check.needs_operation("batch_get");
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  auto keys = check.store_many(daemon, client.bucket(), 9, size);
  const std::string absent = check.fresh_key();
  daemon.begin();
  emulator::Effects malformed;
  malformed.grant_defect = emulator::GrantDefect::truncated_json;
  emulator::Effects refused;
  refused.ending = emulator::RespondWith{.status = 503};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = keys[3]}, .script = {malformed}});
  daemon.add_fault(
      {.match = {.operation = FaultOperation::lease, .key = keys[6]}, .script = {refused}});
  Json items = Json::array();
  for (const std::string& key : keys) items.push_back({{"key", key}, {"size", size}});
  items.insert(items.begin() + 5, Json{{"key", absent}, {"size", size}});
  client.send({{"op", "batch_get"}, {"items", items}});
  const auto outcomes = client.receive_outcomes();
  check.expect(outcomes.size() == items.size(), "a result for each of 10 keys",
               std::to_string(outcomes.size()));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (i == 3 || i == 5 || i == 7) {
      check.expect(!outcomes[i].is_hit(), "no hit of a key that is absent or fails",
                   outcomes[i].described());
    } else {
      check.expect_hit(outcomes[i], i < 5 ? i : i - 1, size, "key " + std::to_string(i));
    }
  }
}

void puts_spoil_no_others(ClientCheck& check) {
  check.needs_operation("batch_put");
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  daemon.begin();
  std::vector<std::string> keys;
  Json items = Json::array();
  for (std::size_t i = 0; i < 8; ++i) {
    keys.push_back(check.fresh_key());
    items.push_back({{"key", keys[i]}, {"size", size}, {"seed", i}});
  }
  emulator::Effects refused;
  refused.ending = emulator::RespondWith{.status = 507};
  daemon.add_fault(
      {.match = {.operation = FaultOperation::put, .key = keys[2]}, .script = {refused}});
  client.send({{"op", "batch_put"}, {"items", items}});
  const auto outcomes = client.receive_outcomes();
  check.expect(outcomes.size() == keys.size(), "a result for each of 8 keys",
               std::to_string(outcomes.size()));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    check.expect(outcomes[i].is_stored() == (i != 2), "all stored but key 2, which was refused",
                 "key " + std::to_string(i) + ": " + outcomes[i].described());
    if (i != 2) check.expect_hit(client.get(keys[i], size), i, size, "what the batch stored");
  }
}

void prefix_is_counted(ClientCheck& check) {
  check.needs_operation("batch_contains");
  PlayedDaemon& daemon = check.daemon();
  TestedClient client = check.client(daemon, hurried(check));
  const auto keys = check.store_many(daemon, client.bucket(), 5, size);
  const std::string absent = check.fresh_key();
  const auto hits = [&](const std::vector<std::string>& asked) {
    const Json answer = client.ask({{"op", "batch_contains"}, {"keys", asked}});
    return answer.at("hits").get<std::size_t>();
  };
  const std::vector<std::pair<std::vector<std::string>, std::size_t>> cases{
      {{keys[0], keys[1], absent, keys[2]}, 2}, {{absent, keys[0]}, 0}, {keys, 5}, {{keys[3]}, 1}};
  for (const auto& [asked, expected] : cases) {
    const std::size_t found = hits(asked);
    check.expect(found == expected,
                 "a prefix of " + std::to_string(expected) + " among " +
                     std::to_string(asked.size()) + " keys",
                 std::to_string(found));
  }
  check.expect_all_released(daemon);
}

}  // namespace

std::span<const ClientCheckEntry> batch_checks() {
  using enum Profile;
  static constexpr ClientCheckEntry entries[]{
      {"C-BATCH-01", core, false, gets_spoil_no_others},
      {"C-BATCH-02", core, false, puts_spoil_no_others},
      {"C-BATCH-03", core, false, prefix_is_counted},
  };
  return entries;
}

}  // namespace hyperpod::conformance
