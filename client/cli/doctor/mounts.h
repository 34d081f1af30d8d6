// SPDX-License-Identifier: Apache-2.0
// Reads /proc/self/mountinfo: what is mounted where, as this process sees it.
//
// Everything here is a value or a pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hyperpod::client::cli::doctor {

struct Mount {
  std::string root;   // which part of the filesystem; "/" is all of it
  std::string point;  // where
  std::string type;   // "tmpfs", "overlay", …
  std::string source;

  friend bool operator==(const Mount&, const Mount&) = default;
};

/// In the file's order, in which later ones cover earlier ones. Lines that are not mounts are left
/// out.
std::vector<Mount> parse_mountinfo(std::string_view text);

/// The mount that `path` lies in; null if there is none.
const Mount* mount_of(const std::vector<Mount>& mounts, std::string_view path);

/// Whether these are the mounts of a container: its root is put together of layers.
bool is_container(const std::vector<Mount>& mounts);

}  // namespace hyperpod::client::cli::doctor
