// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/session_manager.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

namespace hyperpod::client::cli::doctor {
namespace {

namespace fs = std::filesystem;

constexpr uid_t first_user = 1000;

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Takes over what the file says, if it says anything.
void read(const fs::path& path, bool& removes) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos || trim(line.substr(0, equals)) != "RemoveIPC") continue;
    constexpr std::array<std::string_view, 6> negative = {"no", "false", "off", "0", "n", "f"};
    const std::string value(trim(std::string_view(line).substr(equals + 1)));
    removes = std::ranges::find(negative, value) == negative.end();
  }
}

}  // namespace

bool SessionManager::removes_segments_of(uid_t uid) const {
  std::error_code error;
  if (uid < first_user || !fs::exists(state, error)) return false;
  bool removes = true;
  read(fs::path(configuration) / "logind.conf", removes);
  std::vector<fs::path> further;
  for (fs::directory_iterator entry(fs::path(configuration) / "logind.conf.d", error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".conf") further.push_back(entry->path());
  }
  std::ranges::sort(further);
  for (const fs::path& path : further) read(path, removes);
  return removes;
}

}  // namespace hyperpod::client::cli::doctor
