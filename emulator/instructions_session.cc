// SPDX-License-Identifier: Apache-2.0
// hyperpod-instructions-session PAIRS: an emulator with one I/O thread serves PAIRS pairs of lease
// and release over one connection. Its client is a child process, so that instructions counted in
// this process are the emulator's. instructions_test.sh runs it under callgrind.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "hyperpod/base/file_descriptor.h"
#include "testing/daemon.h"

namespace hyperpod::emulator {
namespace {

int run_client(int from_parent, unsigned long pairs) try {
  std::uint16_t port = 0;
  if (::read(from_parent, &port, sizeof port) != sizeof port) return 1;
  test::WireClient client(port);
  // A key as LMCache makes them.
  const std::string path = "lmcache/meta-llama%2FLlama-3.1-8B@8@3@0123456789abcdef@bfloat16";
  if (client.ask(test::put_request(path, std::string(1024, 'x'))).status != 200) return 1;
  for (unsigned long i = 0; i < pairs; ++i) {
    const auto grant = client.ask(test::lease_request(path, "timeout_ms=5000&ttl_s=30.0"));
    if (client.ask(test::release_request(test::id_of(grant))).status != 200) return 1;
  }
  return 0;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "client: %s\n", failure.what());
  return 1;
}

int run(unsigned long pairs) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return 1;
  const base::FileDescriptor from_parent(ends[0]);
  const base::FileDescriptor to_child(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return 1;
  if (child == 0) ::_exit(run_client(from_parent.get(), pairs));
  test::Daemon daemon;
  const std::uint16_t port = daemon.emulator().port();
  int status = 1;
  if (::write(to_child.get(), &port, sizeof port) != sizeof port) return 1;
  if (::waitpid(child, &status, 0) != child) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace hyperpod::emulator

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PAIRS\n", argv[0]);
    return 2;
  }
  return hyperpod::emulator::run(std::strtoul(argv[1], nullptr, 10));
}
