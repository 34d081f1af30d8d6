// hyperpod-conformance: tells how far a daemon, or a client, keeps the protocol of
// docs/protocol.md.
#include <signal.h>
#include <sys/resource.h>

#include "cli/command.h"

namespace {

/// Thousands of connections need thousands of descriptors, and the usual soft limit is 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace hyperpod::conformance;
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  CLI::App app(
      "Tells how far a daemon or a client keeps the HyperPod KV protocol. Exit codes: 0 conforms, "
      "1 does not, 2 usage, 3 could not be judged.");
  app.set_version_flag("--version", HYPERPOD_VERSION);
  app.require_subcommand(1);
  const std::array commands{add_daemon_command(app), add_client_command(app),
                            add_self_check_command(app), add_worker_command(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? conforms : usage;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return usage;
}
