// SPDX-License-Identifier: Apache-2.0
#include "config/validate.h"

#include <fmt/format.h>

#include <array>

#include "core/owner_file.h"
#include "hyperpod/base/text.h"
#include "text/host_port.h"
#include "text/units.h"

namespace hyperpod::emulator::config {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t least_block = 4096;  // a page: what the segment is mapped and pinned by
constexpr std::uint64_t most_capacity = 1ull << 60;
constexpr std::uint32_t least_head = 1024;  // a request of a real client takes half of it
constexpr std::uint32_t most_head = 16u << 20;
constexpr unsigned most_threads = 1024;
constexpr std::size_t most_entries = 10'000'000;                // 4 GiB
constexpr milliseconds longest = std::chrono::hours{24 * 365};  // far from overflow in nanoseconds

using Finding = std::optional<Violation>;

Finding check_listen(const Options& options) {
  const auto address = text::parse_host_port(options.listen);
  if (address) return std::nullopt;
  return Violation{{"listen"}, address.error().message};
}

Finding check_admin(const Options& options) {
  if (options.admin.empty()) return std::nullopt;
  const auto address = text::parse_host_port(options.admin);
  if (address) return std::nullopt;
  return Violation{{"admin"}, address.error().message};
}

Finding check_journal(const Options& options) {
  if (options.journal_entries <= most_entries) return std::nullopt;
  return Violation{
      {"journal_entries"},
      fmt::format("{} are too many; take {} or fewer", options.journal_entries, most_entries)};
}

Finding check_name(const Options& options) {
  const std::string& name = options.shm_name;
  const auto fault = [&](std::string_view problem) {
    return Violation{{"shm_name"},
                     fmt::format("{} {}; take a plain name, such as ai_toolkit_cache",
                                 base::quoted(name), problem)};
  };
  if (name.empty()) return fault("is empty");
  if (name.front() == '.') return fault("begins with a dot");  // owner records do
  if (name.find('/') != std::string::npos) return fault("has a slash in it");
  if (name.find('\0') != std::string::npos) return fault("has a zero byte in it");
  if (name.size() > core::longest_segment_name)
    return fault(fmt::format("is longer than {} bytes", core::longest_segment_name));
  return std::nullopt;
}

Finding check_capacity(const Options& options) {
  const auto [capacity, block] = std::pair(options.capacity, options.block_size);
  if (block < least_block) {
    return Violation{{"block_size"},
                     fmt::format("{} is too small; take {} or more", text::format_size(block),
                                 text::format_size(least_block))};
  }
  if (capacity > most_capacity) {
    return Violation{{"capacity"},
                     fmt::format("{} is too large; take {} or less", text::format_size(capacity),
                                 text::format_size(most_capacity))};
  }
  if (block > capacity) {
    return Violation{
        {"capacity", "block_size"},
        fmt::format("the capacity of {} has no room for one block of {}; take a larger "
                    "capacity or smaller blocks",
                    text::format_size(capacity), text::format_size(block))};
  }
  if (const std::uint64_t rest = capacity % block; rest != 0) {
    return Violation{
        {"capacity", "block_size"},
        fmt::format("the capacity of {} is not a multiple of the block size of {}; take a "
                    "capacity of {} or {}",
                    text::format_size(capacity), text::format_size(block),
                    text::format_size(capacity - rest),
                    text::format_size(capacity - rest + block))};
  }
  return std::nullopt;
}

Finding check_mode(const Options& options) {
  if ((options.shm_mode & ~mode_t{0777}) == 0) return std::nullopt;
  return Violation{{"shm_mode"},
                   fmt::format("{:#o} has more than permission bits; take 0 to 0777, "
                               "such as 0600",
                               options.shm_mode)};
}

Finding check_reserve(const Options& options) {
  if (!options.prefault || options.reserve == Reserve::whole) return std::nullopt;
  return Violation{{"prefault", "reserve"},
                   "every page is touched at start, so the segment must be reserved whole; leave "
                   "one of the two out"};
}

Finding check_statuses(const Behaviour& behaviour) {
  const std::array<std::pair<std::string_view, int>, 9> statuses{
      {{"behaviour.miss_status", behaviour.miss_status},
       {"behaviour.unknown_release_status", behaviour.unknown_release_status},
       {"behaviour.empty_put_status", behaviour.empty_put_status},
       {"behaviour.no_room_status", behaviour.no_room_status},
       {"behaviour.too_large_status", behaviour.too_large_status},
       {"behaviour.namespace_conflict_status", behaviour.namespace_conflict_status},
       {"behaviour.absent_namespace_status", behaviour.absent_namespace_status},
       {"behaviour.shard_address_status", behaviour.shard_address_status},
       {"behaviour.shard_checksum_status", behaviour.shard_checksum_status}}};
  for (const auto& [member, status] : statuses) {
    if (status < 400 || status > 599) {
      return Violation{{member},
                       fmt::format("{} is not an error status; take one from 400 to 599", status)};
    }
  }
  return std::nullopt;
}

Finding check_durations(const Options& options) {
  struct Bound {
    std::string_view member;
    milliseconds value;
    milliseconds least;
  };
  const Behaviour& behaviour = options.behaviour;
  const Limits& limits = options.limits;
  const std::array<Bound, 8> bounds{
      {{"behaviour.default_hold", behaviour.default_hold, milliseconds{0}},
       {"behaviour.default_ttl", behaviour.default_ttl, milliseconds{1}},
       {"behaviour.max_hold", behaviour.max_hold, milliseconds{0}},
       {"behaviour.max_ttl", behaviour.max_ttl, milliseconds{1}},
       {"limits.head_timeout", limits.head_timeout, milliseconds{1}},
       {"limits.stall_timeout", limits.stall_timeout, milliseconds{1}},
       {"limits.body_timeout", limits.body_timeout, milliseconds{1}},
       {"limits.idle_timeout", limits.idle_timeout, milliseconds{1}}}};
  for (const Bound& bound : bounds) {
    if (bound.value < bound.least || bound.value > longest) {
      return Violation{
          {bound.member},
          fmt::format("{}ms is out of range; take {} to {}", bound.value.count(),
                      text::format_duration(bound.least), text::format_duration(longest))};
    }
  }
  const auto above = [](std::string_view value, std::string_view most, milliseconds a,
                        milliseconds b) {
    return Violation{{value, most},
                     fmt::format("the default of {} is above the greatest of {}; lower the one or "
                                 "raise the other",
                                 text::format_duration(a), text::format_duration(b))};
  };
  if (behaviour.default_hold > behaviour.max_hold) {
    return above("behaviour.default_hold", "behaviour.max_hold", behaviour.default_hold,
                 behaviour.max_hold);
  }
  if (behaviour.default_ttl > behaviour.max_ttl) {
    return above("behaviour.default_ttl", "behaviour.max_ttl", behaviour.default_ttl,
                 behaviour.max_ttl);
  }
  return std::nullopt;
}

Finding check_limits(const Options& options) {
  const Limits& limits = options.limits;
  if (limits.head_bytes < least_head || limits.head_bytes > most_head) {
    return Violation{
        {"limits.head_bytes"},
        fmt::format("{} is out of range; take {} to {}", text::format_size(limits.head_bytes),
                    text::format_size(least_head), text::format_size(most_head))};
  }
  if (limits.headers == 0) {
    return Violation{{"limits.headers"}, "0 refuses every request; take 1 or more"};
  }
  if (options.threads > most_threads) {
    return Violation{{"threads"},
                     fmt::format("{} are too many; take {} or fewer, or 0 for one per core",
                                 options.threads, most_threads)};
  }
  return std::nullopt;
}

Finding check_tls(const TlsOptions& tls) {
  const bool certificate = !tls.certificate_file.empty();
  const bool key = !tls.key_file.empty();
  if (!tls.self_signed_directory.empty() && (certificate || key)) {
    return Violation{
        {"tls.self_signed_directory", certificate ? "tls.certificate_file" : "tls.key_file"},
        "a self-signed certificate and one from files exclude each other; leave one out"};
  }
  if (certificate && !key) {
    return Violation{{"tls.certificate_file", "tls.key_file"},
                     "the certificate has no key; name the file of its private key as well, "
                     "with --tls-key or tls.key_file"};
  }
  if (key && !certificate) {
    return Violation{{"tls.key_file", "tls.certificate_file"},
                     "the key has no certificate; name the file of its certificate as well, "
                     "with --tls-cert or tls.certificate_file"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Violation> find_violation(const Options& options) {
  if (auto found = check_listen(options)) return found;
  if (auto found = check_admin(options)) return found;
  if (auto found = check_journal(options)) return found;
  if (auto found = check_name(options)) return found;
  if (auto found = check_capacity(options)) return found;
  if (auto found = check_mode(options)) return found;
  if (auto found = check_reserve(options)) return found;
  if (auto found = check_statuses(options.behaviour)) return found;
  if (auto found = check_durations(options)) return found;
  if (auto found = check_limits(options)) return found;
  return check_tls(options.tls);
}

Result<void> validate(const Options& options) {
  const auto violation = find_violation(options);
  if (!violation) return {};
  return tl::unexpected(
      Error{ErrorCode::invalid_option,
            fmt::format("Options::{}: {}", violation->members.front(), violation->problem)});
}

}  // namespace hyperpod::emulator::config
