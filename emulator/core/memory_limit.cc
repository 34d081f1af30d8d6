// SPDX-License-Identifier: Apache-2.0
#include "core/memory_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>

#include "text/units.h"

namespace hyperpod::emulator::core {
namespace {

constexpr auto unlimited = std::numeric_limits<std::uint64_t>::max();
// cgroup v1 writes "no limit" as the greatest number of whole pages.
constexpr std::uint64_t practically_unlimited = 1ull << 60;

/// The number in a file that holds nothing else; `unlimited` for "max"; nullopt if there is none.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::string word;
  if (!(std::ifstream(path) >> word)) return std::nullopt;
  if (word == "max") return unlimited;
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (failure != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

/// The number behind `name` in a file of lines "NAME NUMBER…"; 0 if there is none.
std::uint64_t number_behind(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t number = 0;
    if (words >> word >> number && word == name) return number;
  }
  return 0;
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > unlimited - b ? unlimited : a + b;
}

/// What one group allows. `names` differ between the versions of cgroup.
struct Names {
  const char* limit;
  const char* used;
  const char* reclaimable;  // in memory.stat
};
constexpr Names version_2{"memory.max", "memory.current", "inactive_file"};
constexpr Names version_1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

std::optional<MemoryLimit> limit_of(const std::string& group, const Names& names,
                                    std::uint64_t machines_swap) {
  const auto memory = number_in(fmt::format("{}/{}", group, names.limit));
  if (!memory || *memory >= practically_unlimited) return std::nullopt;
  std::uint64_t swap = number_in(group + "/memory.swap.max").value_or(0);
  if (const auto both = number_in(group + "/memory.memsw.limit_in_bytes")) {
    swap = *both > *memory ? *both - *memory : 0;
  }
  const std::uint64_t used = number_in(fmt::format("{}/{}", group, names.used)).value_or(0);
  const std::uint64_t reclaimable = number_behind(group + "/memory.stat", names.reclaimable);
  return MemoryLimit{.limit = sum(*memory, std::min(swap, machines_swap)),
                     .used = used - std::min(used, reclaimable)};
}

}  // namespace

std::optional<MemoryLimit> memory_limit(const std::string& root) {
  const std::uint64_t machines_swap = number_behind(root + "/proc/meminfo", "SwapTotal:") * 1024;
  std::optional<MemoryLimit> least;
  // From the group itself up to the root of what can be seen. In a container without a cgroup
  // namespace the path is the host's, and only the root is there.
  const auto walk = [&](const std::string& mount, std::string path, const Names& names) {
    while (true) {
      const auto found = limit_of(mount + path, names, machines_swap);
      if (found && (!least || found->limit - std::min(found->limit, found->used) <
                                  least->limit - std::min(least->limit, least->used))) {
        least = found;
      }
      if (path.empty()) return;
      path.resize(path.rfind('/'));
    }
  };

  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;  // "0::/path" or "4:memory:/path"
  while (std::getline(groups, line)) {
    const auto controllers = line.find(':') + 1;
    const auto path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    const std::string names = fmt::format(",{},", line.substr(controllers, path - 1 - controllers));
    std::string group = line.substr(path);
    if (!group.starts_with('/')) continue;
    if (group == "/") group.clear();
    if (names == ",,") walk(root + "/sys/fs/cgroup", group, version_2);
    if (names.find(",memory,") != names.npos)
      walk(root + "/sys/fs/cgroup/memory", group, version_1);
  }
  return least;
}

Result<std::string> judge_memory_limit(std::uint64_t size, bool reserved_at_once,
                                       const std::optional<MemoryLimit>& limit) {
  using text::format_size;
  if (!limit) return std::string();
  const std::uint64_t free = limit->limit - std::min(limit->limit, limit->used);
  if (size > limit->limit) {
    std::string problem = fmt::format(
        "a segment of {} does not fit into the memory limit of this process's control group, {}: "
        "the kernel kills whoever takes more; lower the capacity or raise the limit (docker: -m)",
        format_size(size), format_size(limit->limit));
    if (!reserved_at_once) return problem;
    return tl::make_unexpected(Error{ErrorCode::segment_unusable, std::move(problem)});
  }
  if (size > free) {
    return fmt::format(
        "of the memory limit of this process's control group, {}, {} are taken: a full segment of "
        "{} may get it killed; lower the capacity or raise the limit (docker: -m)",
        format_size(limit->limit), format_size(limit->used), format_size(size));
  }
  return std::string();
}

}  // namespace hyperpod::emulator::core
