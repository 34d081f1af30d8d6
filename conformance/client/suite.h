// The client suite: which checks there are, and a run of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "client/check.h"

namespace hyperpod::conformance {

struct ClientCheckEntry {
  std::string_view id;
  Profile profile;  ///< The smallest that includes it.
  /// Loads the machine, or measures what load would spoil: nothing else runs meanwhile.
  bool alone;
  void (*run)(ClientCheck&);
};

/// One check for each requirement, in the catalogue's order.
std::span<const ClientCheckEntry> client_checks();

struct ClientRunOptions {
  ClientTarget target;
  std::vector<std::string>
      only;                ///< Ids, or their beginnings ("C-TTL"); empty: all of the profile.
  std::uint64_t seed = 0;  ///< Of the order.
  unsigned at_once = 4;    ///< Checks that bear company.
  /// Called after each check, by one thread at a time.
  std::function<void(const CheckResult&, std::size_t done, std::size_t total)> progress;
};

/// What kept a run from taking place.
struct ClientObstacle {
  enum class Kind {
    not_installed,  ///< The driver ended with 77: its client is not there.
    driver,         ///< It cannot be started, or does not keep the protocol of drivers.
  } kind;
  std::string explanation;
};

/// Asks a driver what it offers.
tl::expected<DriverFacts, ClientObstacle> ask_driver(const std::string& command,
                                                     double time_scale = 1);

/// Runs the checks that the options choose. `target.facts` is found out before any is run.
tl::expected<Report, ClientObstacle> run_client_suite(ClientRunOptions options);

/// Runs one check; never throws.
CheckResult run_client_check(const ClientCheckEntry& entry, const ClientTarget& target);

// The checks by chapter, each table in the catalogue's order.
std::span<const ClientCheckEntry> throttle_checks();
std::span<const ClientCheckEntry> connection_checks();
std::span<const ClientCheckEntry> many_worker_checks();
std::span<const ClientCheckEntry> timeout_checks();
std::span<const ClientCheckEntry> client_lease_checks();
std::span<const ClientCheckEntry> client_ttl_checks();
std::span<const ClientCheckEntry> client_memory_checks();
std::span<const ClientCheckEntry> recovery_checks();
std::span<const ClientCheckEntry> wire_checks();
std::span<const ClientCheckEntry> batch_checks();

}  // namespace hyperpod::conformance
