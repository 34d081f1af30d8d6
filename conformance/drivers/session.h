// SPDX-License-Identifier: Apache-2.0
// Carries out commands with a hyperpod::client::Client.
//
// One thread at a time may use a Session.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "command.h"
#include "hyperpod/client/client.h"

namespace hyperpod::driver {

/// What a response says beside `id` and `ok`; or why the command could not be carried out.
using Answer = tl::expected<Json, std::string>;

class Session {
 public:
  Answer operator()(const Hello&);
  Answer operator()(const Configure& configure);
  Answer operator()(const Put& put);
  Answer operator()(const Get& get);
  Answer operator()(const Exists& exists);
  Answer operator()(const BatchPut& batch);
  Answer operator()(const BatchGet& batch);
  Answer operator()(const BatchContains& batch);
  Answer operator()(const Concurrent& concurrent);
  Answer operator()(const Stats&);
  Answer operator()(const Close&);
  Answer operator()(const Fork& fork);

 private:
  /// Stays when it has been closed, to tell what it counted.
  std::optional<client::Client> client_;
  bool headers_ = false;  ///< Chunks have a header.
};

}  // namespace hyperpod::driver
