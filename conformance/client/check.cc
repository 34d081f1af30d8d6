// SPDX-License-Identifier: Apache-2.0
#include "client/check.h"

#include <algorithm>

#include "client/payload.h"

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t requests_told = 12;

std::string line_of(const emulator::JournalEntry& entry) {
  std::string line = std::string(emulator::name_of(entry.operation)) + " " + entry.bucket + " " +
                     entry.key + (entry.lease_id.empty() ? "" : ", lease " + entry.lease_id) +
                     ": status " + std::to_string(entry.status) + " after " + in_ms(entry.served);
  if (!entry.fault.empty()) line += ", fault " + entry.fault;
  return line;
}

}  // namespace

std::string ClientOutcome::described() const {
  if (is_hit()) return "a hit of " + std::to_string(size) + " bytes";
  return outcome + (detail.empty() ? "" : " (" + detail + ")");
}

Json put_command(const std::string& key, std::uint64_t size, std::uint64_t seed) {
  return {{"op", "put"}, {"key", key}, {"size", size}, {"seed", seed}};
}

Json get_command(const std::string& key, std::uint64_t size) {
  return {{"op", "get"}, {"key", key}, {"size", size}};
}

Json exists_command(const std::string& key) { return {{"op", "exists"}, {"key", key}}; }

ClientOutcome outcome_in(const Json& response) {
  ClientOutcome outcome;
  outcome.outcome = member<std::string>(response, "outcome");
  outcome.detail = member_or<std::string>(response, "detail", "");
  if (outcome.is_hit() && response.contains("sha256")) {
    outcome.sha256 = member<std::string>(response, "sha256");
    outcome.size = member<std::uint64_t>(response, "size");
  }
  return outcome;
}

// --- ClientProcess

ClientProcess::ClientProcess(Check& check, Driver driver, Duration patience)
    : check_(check), driver_(std::move(driver)), patience_(patience) {}

void ClientProcess::send(const Json& command) {
  last_op_ = command.value("op", "");
  check_.transcript().add(Event::Kind::sent, 0, command.dump(), {});
  if (auto sent = driver_.send(command, patience_); !sent)
    throw GivenFailure{{sent.error().message}};
}

Json ClientProcess::receive(Duration patience) {
  const TimePoint begun = now();
  auto response = driver_.receive(patience);
  if (response) {
    check_.transcript().add(Event::Kind::received, 0, response->dump(), {});
    if (member_or(*response, "unsupported", false)) check_.skip("the client offers no " + last_op_);
    if (response->at("ok") == false) {
      throw GivenFailure{{"the driver could not carry out " + last_op_ + ": " +
                          member_or<std::string>(*response, "error", "it does not say why")}};
    }
    return *std::move(response);
  }
  check_.transcript().add(Event::Kind::trouble, 0, response.error().message, {});
  switch (response.error().code) {
    case ErrorCode::timed_out:
      throw Violation{last_op_ + " to return within " + in_ms(patience),
                      "nothing after " + in_ms(now() - begun)};
    case ErrorCode::closed:
      throw Violation{"the client to survive " + last_op_, response.error().message};
    default:
      throw GivenFailure{{response.error().message}};
  }
}

Json ClientProcess::ask(const Json& command) {
  send(command);
  return receive();
}

ClientOutcome ClientProcess::receive_outcome() { return outcome_in(receive()); }

std::vector<ClientOutcome> ClientProcess::receive_outcomes() {
  const Json response = receive();
  std::vector<ClientOutcome> outcomes;
  for (const Json& result : member<std::vector<Json>>(response, "results"))
    outcomes.push_back(outcome_in(result));
  return outcomes;
}

ClientOutcome ClientProcess::put(const std::string& key, std::uint64_t size, std::uint64_t seed) {
  return outcome_in(ask(put_command(key, size, seed)));
}

ClientOutcome ClientProcess::get(const std::string& key, std::uint64_t size) {
  return outcome_in(ask(get_command(key, size)));
}

ClientOutcome ClientProcess::exists(const std::string& key) {
  return outcome_in(ask(exists_command(key)));
}

std::vector<ClientOutcome> ClientProcess::concurrent(const std::vector<Json>& operations) {
  send({{"op", "concurrent"}, {"operations", operations}});
  auto outcomes = receive_outcomes();
  if (outcomes.size() != operations.size()) {
    throw GivenFailure{{"the driver answered " + std::to_string(operations.size()) +
                        " concurrent operations with " + std::to_string(outcomes.size()) +
                        " results"}};
  }
  return outcomes;
}

void ClientProcess::close() { (void)ask({{"op", "close"}}); }

// --- Check

Check::Check(const Target& target, const Requirement& requirement)
    : check::Check(requirement, target.profile, target.time_scale), target_(target) {}

void Check::needs_parameter(const std::string& name) const {
  if (!target_.facts.parameters.contains(name)) skip("the client cannot be told " + name);
}

void Check::needs_operation(const std::string& name) const {
  if (!target_.facts.operations.contains(name)) skip("the client offers no " + name);
}

TestDaemon& Check::daemon(const TestDaemon::Configure& configure) {
  return *daemons_.emplace_back(std::make_unique<TestDaemon>(configure, transcript()));
}

ClientProcess Check::client(TestDaemon& daemon, Json parameters, const std::string& bucket,
                            bool obey_modes) {
  return client_at(daemon.url(), daemon.shm_name(), std::move(parameters), bucket, obey_modes);
}

ClientProcess Check::client_at(const std::string& url, const std::string& segment, Json parameters,
                               const std::string& bucket, bool obey_modes) {
  auto driver = Driver::start({.command = target_.driver, .obey_modes = obey_modes});
  if (!driver) throw GivenFailure{{driver.error().message}};
  ClientProcess client(*this, *std::move(driver), span(60s));
  client.bucket_ = bucket;
  Json command{{"op", "configure"}, {"url", url}, {"bucket", bucket}, {"segment", segment}};
  if (!parameters.contains("save_chunk_meta")) parameters["save_chunk_meta"] = false;
  for (const auto& [name, value] : parameters.items()) {
    if (name == "bucket" || target_.facts.parameters.contains(name)) command[name] = value;
  }
  if (command["bucket"].is_null()) command.erase("bucket");
  (void)client.ask(command);
  return client;
}

std::string Check::fresh_key(std::string_view suffix) {
  return std::string(requirement().id) + "-" + std::to_string(++keys_) + std::string(suffix);
}

std::string Check::object(std::string_view payload) const {
  std::string bytes;
  if (target_.facts.header == DriverFacts::Header::always) bytes = chunk_header(payload.size());
  return bytes.append(payload);
}

std::vector<std::string> Check::store_many(TestDaemon& daemon, const std::string& bucket,
                                           std::size_t count, std::uint64_t size,
                                           std::uint64_t first_seed) {
  std::vector<std::string> keys;
  while (keys.size() < count) {
    const std::string key = fresh_key();
    daemon.store(bucket, key, object(payload(first_seed + keys.size(), size)));
    keys.push_back(key);
  }
  return keys;
}

void Check::expect_hit(const ClientOutcome& outcome, std::uint64_t seed, std::uint64_t size,
                       std::string_view what) const {
  expect(outcome.is_hit(), "a hit: " + std::string(what), outcome.described());
  if (outcome.sha256.empty()) throw GivenFailure{{"the driver tells no \"sha256\" of a hit"}};
  expect(outcome.size == size && outcome.sha256 == sha256_hex(payload(seed, size)),
         "the " + std::to_string(size) + " bytes that were stored: " + std::string(what),
         std::to_string(outcome.size) + " other bytes");
}

bool Check::put_arrives(ClientProcess& client, TestDaemon& daemon, std::uint64_t size) {
  const std::string key = fresh_key();
  const ClientOutcome outcome = client.put(key, size, 1);
  if (outcome.outcome != "not_told") return outcome.is_stored();
  return std::ranges::any_of(
      daemon.requests(emulator::JournalOperation::put),
      [&](const auto& entry) { return entry.key == key && entry.status == 200; });
}

void Check::expect_all_released(TestDaemon& daemon) {
  (void)daemon.reaches([&] { return daemon.statistics().live_leases == 0; }, span(2s));
  const auto now = daemon.statistics();
  figure("leases granted", std::to_string(now.leases_granted));
  expect(now.leases_released == now.leases_granted,
         "each of " + std::to_string(now.leases_granted) + " leases released",
         std::to_string(now.leases_released) + " released, " + std::to_string(now.live_leases) +
             " live, " + std::to_string(now.leases_expired) + " expired");
}

void Check::tell_requests() {
  for (const auto& daemon : daemons_) {
    const auto requests = daemon->requests();
    const std::size_t first = requests.size() - std::min(requests.size(), requests_told);
    for (std::size_t i = first; i < requests.size(); ++i) {
      transcript().add(Event::Kind::received, static_cast<int>(requests[i].connection),
                       line_of(requests[i]), {});
    }
  }
}

}  // namespace hyperpod::conformance::client
