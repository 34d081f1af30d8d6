// SPDX-License-Identifier: Apache-2.0
#include "faults/glob.h"

#include <cstddef>

namespace hyperpod::emulator::faults {

// Only the last star met ever needs to take more: what lies between two stars may as well be
// matched as early as possible.
bool glob_matches(std::string_view glob, std::string_view text) {
  std::size_t at = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_end = 0;  // the star stands for the text up to here
  for (std::size_t i = 0; i < text.size();) {
    if (at < glob.size() && glob[at] == '*') {
      star = at++;
      star_end = i;
    } else if (at < glob.size() && (glob[at] == '?' || glob[at] == text[i])) {
      ++at;
      ++i;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      i = ++star_end;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace hyperpod::emulator::faults
