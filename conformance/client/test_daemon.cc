// SPDX-License-Identifier: Apache-2.0
#include "client/test_daemon.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

constexpr Duration store_patience = 10s;
constexpr Duration start_patience = 10s;

/// Percent-encodes all that is not unreserved, so that any key of the suite arrives as it is.
std::string encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  constexpr std::string_view plain = "-._~";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || plain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return result;
}

template <class T>
T must(tl::expected<T, emulator::Error> result) {
  if (!result) throw SuiteFailure{result.error().message};
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace

int peak_of(Changes changes) {
  std::ranges::sort(changes);
  int sum = 0;
  int peak = 0;
  for (const auto& [at, change] : changes) peak = std::max(peak, sum += change);
  return peak;
}

// Bound and not listening: the kernel gives the port to nobody who asks for any, and lets him have
// it who asks for this one.
ReservedPort::ReservedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(fd_.get(), generic, size) != 0 || ::getsockname(fd_.get(), generic, &size) != 0) {
    throw SuiteFailure{"no port of 127.0.0.1 could be reserved: " +
                       std::string(std::strerror(errno))};
  }
  number_ = ntohs(address.sin_port);
}

TestDaemon::TestDaemon(const Configure& configure, Transcript& transcript)
    : configure_(configure),
      transcript_(transcript),
      shm_name_(emulator::Options::for_test().shm_name) {
  start();
}

TestDaemon::~TestDaemon() {
  emulator_.reset();
  ::shm_unlink(("/" + shm_name_).c_str());  // where a check put something else under the name
}

void TestDaemon::start() {
  auto options = emulator::Options::for_test();
  options.journal_entries = 100'000;
  if (configure_) configure_(options);
  options.listen = "127.0.0.1:" + std::to_string(port_.number());
  options.shm_name = shm_name_;
  // A driver that is being started elsewhere in this process holds the old listening socket as
  // well, until it execs.
  const TimePoint deadline = now() + start_patience;
  auto started = emulator::Emulator::start(options);
  while (!started && started.error().code == emulator::ErrorCode::address_unusable &&
         now() < deadline) {
    std::this_thread::sleep_for(1ms);
    started = emulator::Emulator::start(options);
  }
  emulator_.emplace(must(std::move(started)));
  url_ = emulator_->url();
  own_connections_.clear();
}

void TestDaemon::stop() { emulator_->stop(); }

void TestDaemon::start_again() {
  emulator_.reset();
  start();
}

void TestDaemon::store(const std::string& bucket, const std::string& key, std::string_view object) {
  const Endpoint endpoint{false, "127.0.0.1", emulator_->port()};
  auto connection = Connection::open(endpoint, now() + store_patience);
  if (!connection) throw SuiteFailure{connection.error().message};
  const std::uint64_t before = emulator_->journal().last_sequence();
  Session session(*std::move(connection), endpoint.authority(), store_patience, transcript_);
  const Response response = session.put({encoded(bucket), encoded(key)}, object);
  if (response.status != 200) {
    throw SuiteFailure{"the suite's own PUT of " + key + " was answered " +
                       std::to_string(response.status)};
  }
  const emulator::JournalFilter filter{.operation = emulator::JournalOperation::put,
                                       .key = key,
                                       .status = 200,
                                       .after_sequence = before};
  for (const auto& entry : emulator_->journal().entries(filter))
    own_connections_.insert(entry.connection);
}

void TestDaemon::begin() {
  emulator_->reset(
      {.objects = false, .leases = false, .faults = false, .journal = true, .counters = true});
}

void TestDaemon::add_fault(emulator::Fault fault) {
  must(emulator_->faults().add(std::move(fault)));
}

void TestDaemon::cause(const emulator::Effects& effects) { must(emulator_->cause(effects)); }

bool TestDaemon::reaches(const std::function<bool()>& condition, Duration patience) {
  // What is waited for may show in the statistics, the segment or /proc, which nobody announces.
  const TimePoint deadline = now() + patience;
  while (!condition()) {
    if (now() >= deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

void TestDaemon::await(const std::function<bool()>& condition, Duration patience,
                       const std::string& what) {
  if (!reaches(condition, patience))
    throw SuiteFailure{what + " did not come about within " + in_ms(patience)};
}

std::vector<emulator::JournalEntry> TestDaemon::requests(
    std::optional<emulator::JournalOperation> operation, const std::optional<std::string>& bucket) {
  auto entries = emulator_->journal().entries({.operation = operation, .bucket = bucket});
  std::erase_if(entries, [&](const auto& entry) { return is_own(entry.connection); });
  std::ranges::sort(entries, {}, &emulator::JournalEntry::at);
  return entries;
}

std::vector<emulator::ConnectionLife> TestDaemon::connections() {
  auto lives = emulator_->journal().connections();
  std::erase_if(lives, [&](const auto& life) { return is_own(life.connection); });
  return lives;
}

int TestDaemon::peak_of_requests(const std::function<bool(const emulator::JournalEntry&)>& counts) {
  constexpr Duration grace = 100ms;
  Changes changes;
  for (const auto& entry : requests()) {
    if (!counts(entry)) continue;
    TimePoint end = entry.at + entry.served;
    if (entry.status == 0) end = std::max(end - grace, entry.at + entry.served / 2);
    changes.emplace_back(entry.at, 1);
    changes.emplace_back(end, -1);
  }
  return peak_of(std::move(changes));
}

std::map<std::string, Usage> TestDaemon::usage(Duration grace) {
  // Never so much earlier that what was brief would not have been at all.
  const auto noticed = [&](TimePoint begun, TimePoint ended) {
    return std::max(ended - grace, begun + (ended - begun) / 2);
  };
  std::map<std::string, Usage> by_bucket;
  by_bucket[""];
  const auto entries = requests();
  std::map<std::uint64_t, std::string> bucket_of;
  for (const auto& entry : entries) {
    if (!entry.bucket.empty()) bucket_of.emplace(entry.connection, entry.bucket);
  }
  // An unknown release has no bucket of its own; its connection tells whose it is.
  const auto owner = [&](std::uint64_t connection) -> Usage& {
    const auto known = bucket_of.find(connection);
    return by_bucket[known == bucket_of.end() ? "" : known->second];
  };
  for (const auto& entry : entries) {
    auto& changes = owner(entry.connection).requests;
    TimePoint end = entry.at + entry.served;
    if (entry.status == 0) end = noticed(entry.at, end);
    changes.emplace_back(entry.at, 1);
    changes.emplace_back(end, -1);
  }
  for (const auto& life : connections()) {
    auto& changes = owner(life.connection).connections;
    changes.emplace_back(life.opened, 1);
    if (life.closed) changes.emplace_back(noticed(life.opened, *life.closed), -1);
  }
  return by_bucket;
}

}  // namespace hyperpod::conformance::client
