// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "defects/trials.h"

namespace hyperpod::conformance::defects {
namespace {

using Configure = std::function<void(DaemonSetup&)>;

Ids ids_of(Profile profile, std::initializer_list<std::string_view> without) {
  Ids ids;
  for (const daemon::CheckEntry& entry : daemon::daemon_checks()) {
    const auto left_out = [&](std::string_view prefix) { return entry.id.starts_with(prefix); };
    if (entry.profile <= profile && std::ranges::none_of(without, left_out))
      ids.insert(std::string(entry.id));
  }
  return ids;
}

void plain(DaemonSetup& setup) {
  setup.options.listen = "[::]:0";
  setup.host = "localhost";
}

void scattered(DaemonSetup& setup) { setup.options.placement = emulator::Placement::worst_case; }
void proxied(DaemonSetup& setup) { setup.mutation.emplace(); }
void encrypted(DaemonSetup& setup) { setup.options.tls.self_signed_directory = "temporary"; }

tl::expected<std::vector<CheckResult>, std::string> run(const Configure& configure, const Ids& ids,
                                                        const SelfCheckOptions& options) {
  auto daemon = DefectiveDaemon::start(configure);
  if (!daemon) return tl::unexpected(daemon.error().message);
  daemon::RunOptions run;
  run.target = (*daemon)->target();
  run.target.time_scale = options.time_scale;
  run.target.worker_program = options.worker_program;
  run.target.run_id = options.run_id;
  run.seed = options.seed;
  run.only.assign(ids.begin(), ids.end());
  auto report = daemon::run_daemon_suite(run);
  if (!report) return tl::unexpected(report.error().explanation);
  return std::move(report->results);
}

}  // namespace

// Behind a proxy HTTP-02 and LIMIT-11 judge the proxy.
Ids ids_for_a_defect() {
  return ids_of(Profile::full, {"TLS", "RESTART", "CONC-05", "CONC-07", "HTTP-02", "LIMIT-11"});
}

std::vector<Plan> daemon_plans(const SelfCheckOptions& options) {
  std::vector<Plan> plans;
  const auto add = [&](std::string_view name, std::string_view what, std::vector<std::string> aims,
                       const Configure& configure, const Ids& ids) {
    plans.push_back({.name = std::string(name),
                     .what = std::string(what),
                     .aims = std::move(aims),
                     .run = [configure, ids, &options] { return run(configure, ids, options); }});
  };
  if (options.only.empty()) {
    // Every check must pass. Restarts are left to the one behind the proxy, whose port nobody else
    // can take meanwhile.
    const auto core = ids_of(Profile::core, {"TLS", "HTTP-02", "RESTART"});
    auto tls = core;
    tls.insert({"TLS-01", "TLS-02", "TLS-03"});
    add("correct", "the emulator as it comes", {}, plain,
        ids_of(Profile::full, {"TLS", "RESTART"}));
    add("correct, patience", "the same, for half a minute", {}, plain, {"LEASE-08", "HTTP-12"});
    add("correct, scattered", "objects in as many fragments as can be", {}, scattered, core);
    add("correct, over TLS", "the same over TLS", {}, encrypted, tls);
    // The proxy passes heads on when they are complete, so that the daemon sees none that is not.
    add("correct, proxied", "behind a proxy that changes nothing", {}, proxied,
        ids_of(Profile::full, {"TLS", "HTTP-02", "LIMIT-11"}));
  }
  for (const Defect& defect : all_defects()) {
    if (!is_wanted(options, defect.name)) continue;
    Ids ids;
    if (options.whole_core) ids = ids_of(Profile::core, {"TLS", "RESTART"});
    if (options.whole) ids = ids_for_a_defect();
    ids.insert(defect.aims.begin(), defect.aims.end());
    ids.insert(defect.beside.begin(), defect.beside.end());
    add(defect.name, defect.what, {defect.aims.begin(), defect.aims.end()}, defect.configure, ids);
  }
  return plans;
}

}  // namespace hyperpod::conformance::defects
