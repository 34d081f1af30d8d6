// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/mounts.h"

#include <optional>
#include <sstream>

namespace hyperpod::client::cli::doctor {
namespace {

// Blanks, line ends and backslashes stand as three octal digits behind a backslash.
std::string unescaped(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER_OPTIONS
std::optional<Mount> parse_line(const std::string& line) {
  std::istringstream words(line);
  std::string id, parent, device, root, point, word, type, source;
  words >> id >> parent >> device >> root >> point;
  while (words >> word && word != "-") {
  }
  if (!(words >> type >> source)) return std::nullopt;
  return Mount{unescaped(root), unescaped(point), type, unescaped(source)};
}

bool lies_in(std::string_view path, std::string_view point) {
  if (point == "/") return path.starts_with('/');
  return path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> mounts;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (auto mount = parse_line(line)) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

const Mount* mount_of(const std::vector<Mount>& mounts, std::string_view path) {
  const Mount* innermost = nullptr;
  for (const Mount& mount : mounts) {
    if (!lies_in(path, mount.point)) continue;
    if (innermost == nullptr || mount.point.size() >= innermost->point.size()) innermost = &mount;
  }
  return innermost;
}

bool is_container(const std::vector<Mount>& mounts) {
  const Mount* root = mount_of(mounts, "/");
  return root != nullptr && (root->type == "overlay" || root->type == "fuse-overlayfs" ||
                             root->type == "aufs" || root->type == "zfs");
}

}  // namespace hyperpod::client::cli::doctor
