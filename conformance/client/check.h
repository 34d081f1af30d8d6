// What a check of a client has in hand: daemons that the suite plays, client processes behind their
// drivers, names and bytes, and ways to end. See report/result.h for what a check throws.
//
// One thread uses a ClientCheck, and what it made, at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/driver.h"
#include "client/played_daemon.h"
#include "report/report.h"

namespace hyperpod::conformance {

/// What a driver says of itself in answer to `hello`.
struct DriverFacts {
  enum class Header { never, always, configurable };

  std::string client;
  std::set<std::string> operations;
  std::set<std::string> parameters;
  Header header = Header::never;
};

/// Which client, and how to treat it.
struct ClientTarget {
  std::string driver;  ///< A simple shell command.
  DriverFacts facts;   ///< As found by preflight.
  /// Workers at once in the chapter about many workers; 0: 1, 2, 8 and, in profile full, 16.
  unsigned workers = 0;
  double time_scale = 1;
  Profile profile = Profile::full;
};

/// How one operation ended, as the driver tells it.
struct ClientOutcome {
  std::string outcome;  ///< "stored", "exists", "hit", "miss" or "error".
  std::uint64_t size = 0;
  std::string sha256;
  std::string detail;

  bool is_hit() const { return outcome == "hit"; }
  bool is_stored() const { return outcome == "stored" || outcome == "exists"; }
  /// For people: "a hit of 4096 bytes".
  std::string described() const;
};

class ClientCheck;

/// A client under test within its own process. What it does wrong is thrown as a Violation; what
/// its driver does wrong, as a SuiteFailure.
class TestedClient {
 public:
  ClientOutcome put(const std::string& key, std::uint64_t size, std::uint64_t seed);
  ClientOutcome get(const std::string& key, std::uint64_t size);
  ClientOutcome exists(const std::string& key);
  std::vector<ClientOutcome> concurrent(const std::vector<Json>& operations);
  void close();

  /// Any command, and its answer. Skips the check if the client does not offer it.
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
  friend class ClientCheck;
  TestedClient(ClientCheck& check, Driver driver, Duration patience);

  ClientCheck& check_;
  Driver driver_;
  std::string bucket_;
  Duration patience_;
  std::string last_op_;
};

// Commands as docs/drivers.md has them.
Json put_command(const std::string& key, std::uint64_t size, std::uint64_t seed);
Json get_command(const std::string& key, std::uint64_t size);
Json exists_command(const std::string& key);
ClientOutcome outcome_in(const Json& answer);

class ClientCheck {
 public:
  ClientCheck(const ClientTarget& target, const Requirement& requirement);

  const ClientTarget& target() const { return target_; }
  /// A time limit, made longer on slow machines.
  std::chrono::milliseconds span(std::chrono::milliseconds time) const;
  /// As JSON has a number of seconds.
  static double seconds(std::chrono::milliseconds time) { return double(time.count()) / 1000; }

  // Ways to end.
  [[noreturn]] void skip(std::string reason) const { throw Skipped{std::move(reason)}; }
  void expect(bool holds, std::string expected, std::string seen) const;
  /// Skips the check where the client has no such parameter, or no such operation.
  void needs_parameter(const std::string& name) const;
  void needs_operation(const std::string& name) const;
  /// For the report, whatever the outcome.
  void figure(std::string name, std::string value);
  void plot(Plot plot) { plots_.push_back(std::move(plot)); }

  // Material.
  PlayedDaemon& daemon(const PlayedDaemon::Shape& shape = {});
  /// A client of `daemon` with these parameters, as `configure` takes them; those that the client
  /// does not know are left out. Chunks have no header unless the client always writes one.
  TestedClient client(PlayedDaemon& daemon, Json parameters = Json::object(),
                      const std::string& bucket = "conformance", bool obey_modes = false);
  /// The same at another address: of a proxy, or of nobody.
  TestedClient client_at(const std::string& url, const std::string& segment, Json parameters,
                         const std::string& bucket = "conformance", bool obey_modes = false);
  std::string fresh_key(std::string_view suffix = "");
  /// The object that the client would store for this payload, where save_chunk_meta is false.
  std::string object(std::string_view payload) const;

  // What many checks are built from.
  /// Stores `count` objects and gives their keys. Object i has seed first_seed + i.
  std::vector<std::string> store_many(PlayedDaemon& daemon, const std::string& bucket,
                                      std::size_t count, std::uint64_t size,
                                      std::uint64_t first_seed = 0);
  void expect_hit(const ClientOutcome& outcome, std::uint64_t seed, std::uint64_t size,
                  std::string_view what) const;
  /// Every lease that was granted to the client ends by its release, in a moment.
  void expect_all_released(PlayedDaemon& daemon);

  const std::vector<std::pair<std::string, std::string>>& figures() const { return figures_; }
  const std::vector<Plot>& plots() const { return plots_; }
  Transcript& transcript() { return transcript_; }
  /// What the client's requests were, for the message of a failed check.
  void tell_requests();

 private:
  const ClientTarget& target_;
  const Requirement& requirement_;
  Transcript transcript_;
  std::vector<std::unique_ptr<PlayedDaemon>> daemons_;
  std::vector<std::pair<std::string, std::string>> figures_;
  std::vector<Plot> plots_;
  int keys_ = 0;
};

}  // namespace hyperpod::conformance
