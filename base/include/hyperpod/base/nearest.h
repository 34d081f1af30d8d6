// SPDX-License-Identifier: Apache-2.0
// What somebody who misspelt a word probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hyperpod::base {

/// The candidate that takes the fewest letters to change, add, drop or swap with a neighbour, if
/// these are at most a third of the word's (and at least one may be); else empty. A candidate that
/// begins with the word, of at least two letters, comes first.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "; did you mean NEAREST?", to follow the message that `word` is unknown; "" if nearest() is.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace hyperpod::base
