// SPDX-License-Identifier: Apache-2.0
// hyperpod-driver: puts hyperpod::client under `hyperpod-conformance client` (docs/drivers.md).
// Reads commands on standard input until it ends, and answers each on standard output.
#include <iostream>
#include <stdexcept>

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

}  // namespace
}  // namespace hyperpod::driver

int main() {
  using namespace hyperpod::driver;
  std::ios::sync_with_stdio(false);
  Session session;
  for (std::string line; std::getline(std::cin, line);) {
    const Json answer = execute(session, parse_request(line));
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}
