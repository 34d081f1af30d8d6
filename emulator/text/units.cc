// SPDX-License-Identifier: Apache-2.0
#include "text/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <span>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::text {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// From small to large, the way the formatters search them.
constexpr std::array<Unit, 6> size_units{{{"B", 1},
                                          {"KiB", 1ull << 10},
                                          {"MiB", 1ull << 20},
                                          {"GiB", 1ull << 30},
                                          {"TiB", 1ull << 40},
                                          {"PiB", 1ull << 50}}};
constexpr std::array<Unit, 4> duration_units{
    {{"ms", 1}, {"s", 1'000}, {"min", 60'000}, {"h", 3'600'000}}};

struct Measure {
  std::string_view noun;
  std::string_view units;  // for messages
  std::span<const Unit> table;
  std::uint64_t largest;
};

constexpr Measure size_measure{"size", "B, KiB, MiB, GiB, TiB or PiB", size_units,
                               std::numeric_limits<std::uint64_t>::max()};
constexpr Measure duration_measure{"duration", "ms, s, min or h", duration_units,
                                   std::numeric_limits<std::chrono::milliseconds::rep>::max()};

Result<std::uint64_t> parse(std::string_view text, const Measure& measure) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure == std::errc::invalid_argument) {
    return base::failed(ErrorCode::invalid_option,
                        fmt::format("{} is not a {}; write a whole number and a unit ({})",
                                    base::quoted(text), measure.noun, measure.units));
  }
  const std::string_view name(rest, static_cast<std::size_t>(end - rest));
  if (name.empty()) {
    return base::failed(ErrorCode::invalid_option,
                        fmt::format("{} has no unit; write one behind it without a space ({})",
                                    base::quoted(text), measure.units));
  }
  for (const Unit& unit : measure.table) {
    if (unit.name != name) continue;
    if (failure == std::errc::result_out_of_range || number > measure.largest / unit.factor) {
      return base::failed(ErrorCode::invalid_option,
                          fmt::format("{} is too large to be counted; write a smaller {}",
                                      base::quoted(text), measure.noun));
    }
    return number * unit.factor;
  }
  return base::failed(
      ErrorCode::invalid_option,
      fmt::format("{} ends in {}, which is not a unit; write a whole number and one of {}",
                  base::quoted(text), base::quoted(name), measure.units));
}

std::string format(std::uint64_t amount, const Measure& measure) {
  const Unit* best = &measure.table.front();
  for (const Unit& unit : measure.table) {
    if (amount != 0 && amount % unit.factor == 0) best = &unit;
  }
  return fmt::format("{}{}", amount / best->factor, best->name);
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) { return parse(text, size_measure); }

std::string format_size(std::uint64_t bytes) { return format(bytes, size_measure); }

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  return parse(text, duration_measure).map([](std::uint64_t count) {
    return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(count));
  });
}

std::string format_duration(std::chrono::milliseconds duration) {
  return format(static_cast<std::uint64_t>(duration.count()), duration_measure);
}

}  // namespace hyperpod::emulator::text
