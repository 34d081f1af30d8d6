// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/holders.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

namespace hyperpod::client::cli::doctor {
namespace {

namespace fs = std::filesystem;

// Whether the segment that a process maps is unlinked; nullopt if it maps none of that name.
std::optional<bool> maps(const fs::path& process, const std::string& path) {
  std::ifstream maps(process / "maps");
  const std::string unlinked = path + " (deleted)";
  for (std::string line; std::getline(maps, line);) {
    const auto begin = line.find('/');
    if (begin == std::string::npos) continue;
    const std::string_view file = std::string_view(line).substr(begin);
    if (file == path) return false;
    if (file == unlinked) return true;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Holder> find_holders(const std::string& proc, const std::string& name) {
  std::vector<Holder> holders;
  std::error_code error;
  for (fs::directory_iterator entry(proc, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string pid = entry->path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const auto unlinked = maps(entry->path(), "/dev/shm/" + name);
    if (!unlinked) continue;
    std::string program;
    std::ifstream comm(entry->path() / "comm");
    std::getline(comm, program);
    holders.push_back({pid, program, *unlinked});
  }
  return holders;
}

}  // namespace hyperpod::client::cli::doctor
