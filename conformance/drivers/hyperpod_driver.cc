// SPDX-License-Identifier: Apache-2.0
// hyperpod-driver: puts hyperpod::client under `hyperpod-conformance client` (docs/drivers.md).
// Reads commands on standard input until it ends, and answers each on standard output.
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "command.h"
#include "session.h"

namespace hyperpod::driver {
namespace {

struct Execute {
  Session& session;

  template <class C>
  Json operator()(const C& command) {
    Answer answer = session(command);
    if (!answer) return {{"ok", false}, {"error", answer.error()}};
    (*answer)["ok"] = true;
    return *std::move(answer);
  }
  Json operator()(const Unsupported&) { return {{"ok", false}, {"unsupported", true}}; }
  Json operator()(const Raise&) { throw std::runtime_error("raised, as the command says"); }
};

Json execute(Session& session, const Request& request) {
  Json answer = request.command ? std::visit(Execute{session}, *request.command)
                                : Json{{"ok", false}, {"error", request.command.error()}};
  answer["id"] = request.id;
  return answer;
}

constexpr std::string_view help =
    "Usage: hyperpod-driver\n"
    "Puts hyperpod::client under hyperpod-conformance client: reads commands on standard input "
    "until\n"
    "it ends, one line of JSON each, and answers on standard output, as docs/drivers.md says.\n";

// The exit status of a call with arguments, none of which runs the driver.
int answer_arguments(std::string_view first) {
  if (first == "--help" || first == "-h") {
    std::cout << help;
  } else if (first == "--version") {
    std::cout << "hyperpod-driver " HYPERPOD_VERSION "\n";
  } else {
    std::cerr << "hyperpod-driver: takes no arguments but --help and --version, not '" << first
              << "'; it reads commands on standard input\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace hyperpod::driver

int main(int argc, char** argv) {
  using namespace hyperpod::driver;
  if (argc > 1) return answer_arguments(argv[1]);
  std::ios::sync_with_stdio(false);
  Session session;
  for (std::string line; std::getline(std::cin, line);) {
    const Json answer = execute(session, parse_request(line));
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}
