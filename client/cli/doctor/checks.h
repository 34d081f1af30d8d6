// SPDX-License-Identifier: Apache-2.0
// The doctor's checks, a file each beside this one. Each adds what it finds to the report and
// returns what the checks behind it build on; none waits longer than the machine's patience.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "address.h"
#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"
#include "hyperpod/client/options.h"
#include "memory/segment.h"

namespace hyperpod::client::cli::doctor {

/// What the user asked about.
struct Inquiry {
  /// LMCache's file; none: the one that LMCACHE_CONFIG_FILE names.
  std::optional<std::string> config_file = {};
  /// Puts what the command line says in place of what LMCache's configuration says.
  std::function<void(ClientOptions&)> override_options = [](ClientOptions&) {};
  /// Workers of the engine, each with a client of its own.
  unsigned workers = 1;
};

struct Configuration {
  ClientOptions options;  // normalised
  std::vector<DaemonAddress> daemons;
};

/// Variables, file and address; nullopt if they do not make a configuration.
std::optional<Configuration> check_configuration(const Machine& machine, const Inquiry& inquiry,
                                                 Report& report);

/// What the workers of a node make of the limits together.
void check_limits(const Configuration& configuration, unsigned workers, Report& report);

/// Whether the name resolves and the port accepts. Returns where to send what follows: the address
/// with a number in place of the name, but for HTTPS, whose certificates are for names.
std::optional<DaemonAddress> check_port(const Machine& machine, const DaemonAddress& daemon,
                                        Report& report);

/// Whether what listens speaks the protocol.
bool check_protocol(const Machine& machine, const ClientOptions& options,
                    const DaemonAddress& daemon, Report& report);

struct SegmentLook {
  std::optional<memory::SegmentIdentity> identity;  // of the segment, if it can be read
  bool exposed = false;  // a process here that unlinks the segment takes it from the whole node
};

/// The file under /dev/shm and how it comes there. `daemon_responds`: its daemon was just seen to
/// live.
SegmentLook check_segment(const Machine& machine, const std::string& name, bool daemon_responds,
                          Report& report);

/// Stores an object, leases, reads and releases it. Reads only if `look` has an identity.
void check_round_trip(const Machine& machine, const ClientOptions& options,
                      const DaemonAddress& daemon, const SegmentLook& look, Report& report);

/// Whether an LMCache is installed that would unlink the segment. `exposed`: see SegmentLook.
void check_python(const Machine& machine, bool exposed, Report& report);

}  // namespace hyperpod::client::cli::doctor
