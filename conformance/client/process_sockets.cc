// SPDX-License-Identifier: Apache-2.0
#include "client/process_sockets.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <system_error>

namespace hyperpod::conformance::client {
namespace {

using Inodes = std::set<std::string>;

Inodes sockets_of(pid_t pid) {
  Inodes inodes;
  std::error_code error;
  const auto folder = "/proc/" + std::to_string(pid) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.starts_with("socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  return inodes;
}

/// The clients' ends of established connections.
Inodes sockets_to(std::uint16_t port) {
  Inodes inodes;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);  // the head
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    constexpr std::string_view established = "01";
    const auto colon = remote.rfind(':');
    if (state == established && colon != std::string::npos &&
        std::stoul(remote.substr(colon + 1), nullptr, 16) == port) {
      inodes.insert(inode);
    }
  }
  return inodes;
}

}  // namespace

bool owns_all_connections(pid_t pid, std::uint16_t port) {
  return std::ranges::includes(sockets_of(pid), sockets_to(port));
}

}  // namespace hyperpod::conformance::client
