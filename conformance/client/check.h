// SPDX-License-Identifier: Apache-2.0
// What a check of a client has in hand: daemons that the suite plays, client processes behind their
// drivers, names and bytes, and ways to end. See report/result.h for what a check throws.
//
// One thread uses a Check, and what it made, at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check/check.h"
#include "client/driver.h"
#include "client/test_daemon.h"

namespace hyperpod::conformance::client {

/// As timeout_ms: long enough that no deadline ends what waits in a queue.
inline constexpr int no_hurry = 20'000;

/// What a driver says of itself in response to `hello`.
struct DriverFacts {
  enum class Header { never, always, configurable };

  std::string client;
  std::set<std::string> operations;
  std::set<std::string> parameters;
  Header header = Header::never;
};

/// Which client, and how to treat it.
struct Target {
  std::string driver;  ///< A simple shell command.
  DriverFacts facts;   ///< As found by preflight.
  /// Workers at once in the chapter about many workers; 0: 1, 2, 8 and, in profile full, 16.
  unsigned workers = 0;
  double time_scale = 1;
  Profile profile = Profile::full;
};

/// A member of a driver's response, of the type that docs/drivers.md gives it. Throws a
/// GivenFailure that names it.
template <class T>
T member(const Json& response, const char* name) {
  try {
    return response.at(name).get<T>();
  } catch (const Json::exception&) {
    throw GivenFailure{
        {std::string("the driver's response lacks a proper \"") + name + "\": " + response.dump()}};
  }
}

/// The same of one that may be absent.
template <class T>
T member_or(const Json& response, const char* name, T absent) {
  return response.contains(name) ? member<T>(response, name) : std::move(absent);
}

/// How one operation ended, as the driver tells it.
struct ClientOutcome {
  std::string outcome;  ///< "stored", "exists", "not_told", "hit", "miss" or "error".
  std::uint64_t size = 0;
  std::string sha256;
  std::string detail;

  bool is_hit() const { return outcome == "hit"; }
  bool is_stored() const { return outcome == "stored" || outcome == "exists"; }
  /// Stored, or the client does not tell what became of a put.
  bool may_be_stored() const { return is_stored() || outcome == "not_told"; }
  /// For people: "a hit of 4096 bytes".
  std::string described() const;
};

class Check;

/// A client under test within its own process. What it does wrong is thrown as a Violation; what
/// its driver does wrong, as a SuiteFailure.
class ClientProcess {
 public:
  ClientOutcome put(const std::string& key, std::uint64_t size, std::uint64_t seed);
  ClientOutcome get(const std::string& key, std::uint64_t size);
  ClientOutcome exists(const std::string& key);
  std::vector<ClientOutcome> concurrent(const std::vector<Json>& operations);
  void close();

  /// Any command, and its response. Skips the check if the client does not offer it.
  Json ask(const Json& command);

  // The halves, for what is to happen in between.
  void send(const Json& command);
  Json receive() { return receive(patience_); }
  Json receive(Duration patience);
  ClientOutcome receive_outcome();
  std::vector<ClientOutcome> receive_outcomes();

  /// How long a command may take before it counts as hanging. Long at first.
  void set_patience(Duration patience) { patience_ = patience; }

  Driver& process() { return driver_; }
  const std::string& bucket() const { return bucket_; }

 private:
  friend class Check;
  ClientProcess(Check& check, Driver driver, Duration patience);

  Check& check_;
  Driver driver_;
  std::string bucket_;
  Duration patience_;
  std::string last_op_;
};

// Commands as docs/drivers.md has them.
Json put_command(const std::string& key, std::uint64_t size, std::uint64_t seed);
Json get_command(const std::string& key, std::uint64_t size);
Json exists_command(const std::string& key);
ClientOutcome outcome_in(const Json& response);

class Check : public check::Check {
 public:
  Check(const Target& target, const Requirement& requirement);

  const Target& target() const { return target_; }
  /// As JSON has a number of seconds.
  static double seconds(std::chrono::milliseconds time) { return double(time.count()) / 1000; }

  /// Skips the check where the client has no such parameter, or no such operation.
  void needs_parameter(const std::string& name) const;
  void needs_operation(const std::string& name) const;

  // Material.
  TestDaemon& daemon(const TestDaemon::Configure& configure = {});
  /// A client of `daemon` with these parameters, as `configure` takes them; those that the client
  /// does not know are left out. Chunks have no header unless the client always writes one.
  ClientProcess client(TestDaemon& daemon, Json parameters = Json::object(),
                       const std::string& bucket = "conformance", bool obey_modes = false);
  /// The same at another address: of a proxy, or of nobody.
  ClientProcess client_at(const std::string& url, const std::string& segment, Json parameters,
                          const std::string& bucket = "conformance", bool obey_modes = false);
  std::string fresh_key(std::string_view suffix = "");
  /// The object that the client would store for this payload, where save_chunk_meta is false.
  std::string object(std::string_view payload) const;

  // What many checks are built from.
  /// Stores `count` objects and gives their keys. Object i has seed first_seed + i.
  std::vector<std::string> store_many(TestDaemon& daemon, const std::string& bucket,
                                      std::size_t count, std::uint64_t size,
                                      std::uint64_t first_seed = 0);
  void expect_hit(const ClientOutcome& outcome, std::uint64_t seed, std::uint64_t size,
                  std::string_view what) const;
  /// Puts an object under a fresh key; whether the daemon has it then.
  bool put_arrives(ClientProcess& client, TestDaemon& daemon, std::uint64_t size);
  /// Every lease that was granted to the client ends by its release, in a moment.
  void expect_all_released(TestDaemon& daemon);

  /// What the client's requests were, for the message of a failed check.
  void tell_requests();

 private:
  const Target& target_;
  std::vector<std::unique_ptr<TestDaemon>> daemons_;
  int keys_ = 0;
};

}  // namespace hyperpod::conformance::client
