// SPDX-License-Identifier: Apache-2.0
// What the limits of one client become when every worker of a node has one.
#include <spdlog/fmt/fmt.h>
#include <sys/resource.h>

#include <algorithm>

#include "cli/doctor/checks.h"

namespace hyperpod::client::cli::doctor {
namespace {

// LMCache's page: 16 for 8 workers, "to achieve ~128 total connections".
constexpr std::uint64_t advised_connections = 128;
// What a process has open besides.
constexpr std::uint64_t other_descriptors = 64;

}  // namespace

void check_limits(const Configuration& configuration, unsigned workers, Report& report) {
  const ClientOptions& options = configuration.options;
  const std::uint64_t each = std::min(options.max_connections, options.max_connections_per_host);
  const std::uint64_t connections = workers * each;
  const std::uint64_t in_flight = std::uint64_t{workers} * options.max_concurrent_requests;
  const nlohmann::json details = {{"workers", workers},
                                  {"connections_to_a_daemon", connections},
                                  {"requests_in_flight", in_flight},
                                  {"advised_connections", advised_connections}};
  const std::string text =
      fmt::format("up to {} x {} = {} connections to a daemon, {} x {} = {} requests in flight",
                  workers, each, connections, workers, options.max_concurrent_requests, in_flight);
  if (connections <= advised_connections) {
    report.ok("limits", text, details);
  } else {
    report.warning("limits-exceed-advice",
                   fmt::format("{}; the advice is some {} connections", text, advised_connections),
                   fmt::format("set sagemaker_hyperpod_max_connections_per_host to {}",
                               std::max<std::uint64_t>(advised_connections / workers, 1)),
                   details);
  }

  const std::uint64_t needed =
      std::min<std::uint64_t>(options.max_connections,
                              options.max_connections_per_host * configuration.daemons.size()) +
      other_descriptors;
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  const nlohmann::json figures = {{"limit", descriptors.rlim_cur}, {"needed", needed}};
  if (descriptors.rlim_cur >= needed) {
    report.ok("descriptors",
              fmt::format("a process may open {} files, and a worker needs some {}",
                          descriptors.rlim_cur, needed),
              figures);
  } else {
    report.problem("descriptors-few",
                   fmt::format("a process may open only {} files, and a worker needs some {}",
                               descriptors.rlim_cur, needed),
                   "raise `ulimit -n`, or lower sagemaker_hyperpod_max_connections", figures);
  }
}

}  // namespace hyperpod::client::cli::doctor
