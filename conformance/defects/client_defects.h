// SPDX-License-Identifier: Apache-2.0
// Clients with one known defect each: our own, built from sources into which the defects were put.
//
// client/mutations.cmake says how each is made. They exist so that the suite can be seen to fail.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace hyperpod::conformance::defects {

struct ClientDefect {
  std::string_view name;               ///< As HYPERPOD_DEFECT takes it.
  std::string_view what;               ///< What the client does wrong, one sentence.
  std::vector<std::string_view> aims;  ///< The requirements that must catch it.
};

/// All defects, by chapter.
std::span<const ClientDefect> client_defects();

}  // namespace hyperpod::conformance::defects
