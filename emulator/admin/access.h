// SPDX-License-Identifier: Apache-2.0
// Who may do what on the admin port.
//
// A page of any web site can make a browser send requests to a port of this machine, and a name
// that its owner points at 127.0.0.1 makes that page and the port one site for the browser (DNS
// rebinding). So the Host of a request must be a name that no stranger owns, an Origin must be the
// port's own, and what changes anything must be JSON, which no form can send. Whoever opens the
// port to other machines sets a token besides.
//
// Immutable after construction; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/message.h"

namespace hyperpod::emulator::admin {

/// How far a route is open.
enum class Guard {
  none,   ///< To everybody: health checks and collectors of metrics.
  host,   ///< To every page of this port and every program, without a token: no data and no change.
  token,  ///< To those who also have the token, if one is set.
};

/// What a request says of where it comes from. Empty: the header is not there.
struct Provenance {
  std::string host{};
  std::string origin{};
  std::string authorization{};
  std::string content_type{};
};

class Access {
 public:
  /// `hosts`: names that are allowed besides IP addresses, localhost and the machine's own.
  /// `token`: empty for none.
  Access(std::vector<std::string> hosts, std::string token);

  /// Why the request is refused: 401, 403 or 415; nothing if it is not. `changes`: it is to change
  /// something, and so to be JSON.
  std::optional<Refusal> check(Guard guard, bool changes, const Provenance& provenance) const;

 private:
  bool allows_host(std::string_view host) const;

  std::vector<std::string> hosts_;
  std::string token_;
};

}  // namespace hyperpod::emulator::admin
