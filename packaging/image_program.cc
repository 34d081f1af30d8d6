// SPDX-License-Identifier: Apache-2.0
// Emulator and hyperpod-kv as the images have them: one program, so that what both link is there
// once. It acts by the name that it is called by: hyperpod-emulator, hyperpod-kv, or
// hyperpod-entrypoint, which is what a container runs: the emulator with the options given, or the
// command given.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

// The main functions of the two, which are compiled under these names here.
int hyperpod_emulator_main(int argc, char** argv);
int hyperpod_kv_main(int argc, char** argv);

namespace {

constexpr int not_found = 127;  // as shells have it

int run_command(char** argv) {
  ::execvp(argv[0], argv);
  std::fprintf(stderr, "hyperpod-entrypoint: %s: %s\n", argv[0], std::strerror(errno));
  return not_found;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.rfind('/') + 1);
  if (name == "hyperpod-kv") return hyperpod_kv_main(argc, argv);
  const bool is_entry_point = name == "hyperpod-entrypoint";
  if (is_entry_point && argc > 1 && argv[1][0] != '\0' && argv[1][0] != '-') {
    return run_command(argv + 1);
  }
  if (is_entry_point || name == "hyperpod-emulator") return hyperpod_emulator_main(argc, argv);
  std::fprintf(stderr,
               "%.*s: this program acts by its name; call it hyperpod-emulator or hyperpod-kv\n",
               static_cast<int>(name.size()), name.data());
  return 2;
}
