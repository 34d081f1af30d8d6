// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/key.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

namespace hyperpod::client {
namespace {

Error unusable(std::string_view text, const char* what) {
  return {ErrorCode::invalid_argument, fmt::format("the key '{}' {}", text, what)};
}

std::vector<std::string_view> split(std::string_view text, std::size_t at_most) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < at_most) {
    const auto at = text.find('@');
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  parts.push_back(text);
  return parts;
}

// LMCache prints hashes as signed numbers where Python's own hash made them.
bool is_hex(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); });
}

std::optional<std::uint32_t> number(std::string_view text, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

constexpr std::size_t all = static_cast<std::size_t>(-1);

}  // namespace

std::string EngineKey::to_string() const {
  std::string text = fmt::format("{}@{}@{}@{}@{}", model, world_size, worker_id, chunk_hash, dtype);
  for (const auto& [tag, value] : tags) text += fmt::format("@{}%{}", tag, value);
  return text;
}

Result<EngineKey> EngineKey::parse(std::string_view text) {
  const auto parts = split(text, all);
  if (parts.size() < 5) {
    return tl::unexpected(
        unusable(text, "is not model@world_size@worker_id@chunk_hash@dtype[@tag%value...]"));
  }
  const auto world_size = number(parts[1], 10);
  const auto worker_id = number(parts[2], 10);
  if (!world_size || !worker_id) {
    return tl::unexpected(unusable(text, "has a world size or worker id that is not a number"));
  }
  if (!is_hex(parts[3])) return tl::unexpected(unusable(text, "has a chunk hash that is not hex"));
  EngineKey key{std::string(parts[0]), *world_size,           *worker_id,
                std::string(parts[3]), std::string(parts[4]), {}};
  for (std::size_t i = 5; i < parts.size(); ++i) {
    const auto percent = parts[i].find('%');
    if (percent == std::string_view::npos) {
      return tl::unexpected(unusable(text, "has a tag without a % between name and value"));
    }
    key.tags.emplace_back(parts[i].substr(0, percent), parts[i].substr(percent + 1));
  }
  return key;
}

std::string LegacyEngineKey::to_string() const {
  return fmt::format("{}@{}@{}@{}@{}", format, model, world_size, worker_id, chunk_hash);
}

Result<LegacyEngineKey> LegacyEngineKey::parse(std::string_view text) {
  const auto parts = split(text, all);
  if (parts.size() != 5) {
    return tl::unexpected(unusable(text, "is not fmt@model@world_size@worker_id@chunk_hash"));
  }
  const auto world_size = number(parts[2], 10);
  const auto worker_id = number(parts[3], 10);
  if (!world_size || !worker_id) {
    return tl::unexpected(unusable(text, "has a world size or worker id that is not a number"));
  }
  return LegacyEngineKey{std::string(parts[0]), std::string(parts[1]), *world_size, *worker_id,
                         std::string(parts[4])};
}

std::string ObjectKey::to_string() const {
  std::string text = fmt::format("{}@{:08x}@{:x}@{}", model, kv_rank, object_group, chunk_hash);
  if (!salt.empty()) text += "@" + salt;
  return text;
}

Result<ObjectKey> ObjectKey::parse(std::string_view text) {
  const auto parts = split(text, 5);
  if (parts.size() < 4) {
    return tl::unexpected(unusable(text, "is not model@kv_rank@object_group@chunk_hash[@salt]"));
  }
  const auto kv_rank = number(parts[1], 16);
  const auto object_group = number(parts[2], 16);
  if (!kv_rank || parts[1].size() != 8 || !object_group) {
    return tl::unexpected(
        unusable(text, "has no rank of eight hex digits, or an object group that is not hex"));
  }
  if (!is_hex(parts[3])) return tl::unexpected(unusable(text, "has a chunk hash that is not hex"));
  return ObjectKey{std::string(parts[0]), *kv_rank, *object_group, std::string(parts[3]),
                   parts.size() == 5 ? std::string(parts[4]) : std::string()};
}

}  // namespace hyperpod::client
