#include <algorithm>
#include <set>

#include "defects/trials.h"

namespace hyperpod::conformance {
namespace {

using Shape = std::function<void(Making&)>;
using Ids = std::set<std::string>;

Ids ids_of(Profile profile, std::initializer_list<std::string_view> without) {
  Ids ids;
  for (const CheckEntry& entry : daemon_checks()) {
    const auto left_out = [&](std::string_view prefix) { return entry.id.starts_with(prefix); };
    if (entry.profile <= profile && std::ranges::none_of(without, left_out))
      ids.insert(std::string(entry.id));
  }
  return ids;
}

void plain(Making& making) {
  making.options.listen = "[::]:0";
  making.host = "localhost";
}

void scattered(Making& making) { making.options.placement = emulator::Placement::worst_case; }
void proxied(Making& making) { making.lie.emplace(); }
void encrypted(Making& making) { making.options.tls.self_signed_directory = "temporary"; }

tl::expected<std::vector<CheckResult>, std::string> run(const Shape& shape, const Ids& ids,
                                                        const SelfCheckOptions& options) {
  auto daemon = DefectiveDaemon::start(shape);
  if (!daemon) return tl::unexpected(daemon.error().message);
  RunOptions run;
  run.target = (*daemon)->target();
  run.target.time_scale = options.time_scale;
  run.target.worker_program = options.worker_program;
  run.target.run_id = options.run_id;
  run.seed = options.seed;
  run.only.assign(ids.begin(), ids.end());
  auto report = run_daemon_suite(run);
  if (!report) return tl::unexpected(report.error().explanation);
  return std::move(report->results);
}

}  // namespace

std::vector<Plan> daemon_plans(const SelfCheckOptions& options) {
  std::vector<Plan> plans;
  const auto add = [&](std::string_view name, std::string_view what, std::vector<std::string> aims,
                       const Shape& shape, const Ids& ids) {
    plans.push_back({std::string(name), std::string(what), std::move(aims),
                     [shape, ids, &options] { return run(shape, ids, options); }});
  };
  if (options.only.empty()) {
    // Every check must pass. Restarts are left to the one behind the proxy, whose port nobody else
    // can take meanwhile.
    const auto core = ids_of(Profile::core, {"TLS", "HTTP-02", "RESTART"});
    auto tls = core;
    tls.insert({"TLS-01", "TLS-02", "TLS-03"});
    add("faultless", "the emulator as it comes", {}, plain,
        ids_of(Profile::full, {"TLS", "RESTART"}));
    add("faultless, patience", "the same, for half a minute", {}, plain, {"LEASE-08", "HTTP-12"});
    add("faultless, scattered", "objects in as many fragments as can be", {}, scattered, core);
    add("faultless, over TLS", "the same over TLS", {}, encrypted, tls);
    // The proxy passes heads on when they are complete, so that the daemon sees none that is not.
    add("faultless, proxied", "behind a proxy that tells no lie", {}, proxied,
        ids_of(Profile::full, {"TLS", "HTTP-02", "LIMIT-11"}));
  }
  for (const Defect& defect : all_defects()) {
    if (!is_wanted(options, defect.name)) continue;
    Ids ids;
    if (options.whole_core) ids = ids_of(Profile::core, {"TLS", "RESTART"});
    ids.insert(defect.aims.begin(), defect.aims.end());
    add(defect.name, defect.what, {defect.aims.begin(), defect.aims.end()}, defect.shape, ids);
  }
  return plans;
}

}  // namespace hyperpod::conformance
