// SPDX-License-Identifier: Apache-2.0
// Clients with one known defect each: our own, with something set at its named points.
//
// client/defects.cc says how each is made. They exist so that the suite can be seen to fail.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace hyperpod::conformance::defects {

struct ClientDefect {
  std::string_view name;               ///< As HYPERPOD_DEFECT takes it.
  std::string_view what;               ///< What the client does wrong, one sentence.
  std::vector<std::string_view> aims;  ///< The requirements that must catch it.
  bool may_skip = false;               ///< Not every machine can check them.
};

/// All defects, by chapter.
std::span<const ClientDefect> client_defects();

}  // namespace hyperpod::conformance::defects
