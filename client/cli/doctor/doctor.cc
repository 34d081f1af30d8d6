// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor.h"

#include <spdlog/fmt/fmt.h>

namespace hyperpod::client::cli::doctor {
namespace {

// Whether the daemon's segment can be unlinked from here.
bool check_daemon(const Machine& machine, const ClientOptions& options, const DaemonAddress& daemon,
                  Report& report) {
  report.begin(fmt::format("daemon {}", daemon.authority()));
  const auto reachable = check_port(machine, daemon, report);
  const bool speaks = reachable && check_protocol(machine, options, *reachable, report);

  SegmentLook look;
  if (daemon.segment) {
    report.begin(fmt::format("segment {}/{}", machine.shm_directory, *daemon.segment));
    look = check_segment(machine, *daemon.segment, speaks, report);
  }
  if (speaks) {
    report.begin(fmt::format("round trip with {}", daemon.authority()));
    check_round_trip(machine, options, *reachable, look, report);
  }
  return look.exposed;
}

}  // namespace

Report diagnose(const Machine& machine, const Inquiry& inquiry) {
  Report report;
  report.begin("configuration");
  const auto configuration = check_configuration(machine, inquiry, report);
  bool exposed = false;
  if (configuration) {
    report.begin(
        fmt::format("limits, {} worker{}", inquiry.workers, inquiry.workers == 1 ? "" : "s"));
    check_limits(*configuration, inquiry.workers, report);
    for (const DaemonAddress& daemon : configuration->daemons) {
      exposed |= check_daemon(machine, configuration->options, daemon, report);
    }
  }
  report.begin("Python");
  check_python(machine, exposed, report);
  return report;
}

}  // namespace hyperpod::client::cli::doctor
