// SPDX-License-Identifier: Apache-2.0
// What the admin port shows, as JSON.
//
// Pure functions; any thread. Times are whole milliseconds, rounded up, so that what is left is not
// shown as nothing; bytes of names that are not UTF-8 become U+FFFD when the JSON is written.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "hyperpod/emulator/journal.h"
#include "hyperpod/emulator/state.h"
#include "hyperpod/emulator/statistics.h"

namespace hyperpod::emulator::admin {

using Json = nlohmann::ordered_json;

/// As Prometheus has them: a gauge goes up and down, a counter only up.
enum class Kind { gauge, counter };

/// A number that is shown in JSON under its name, and as a metric.
template <class Struct>
struct Figure {
  std::string_view name;
  std::uint64_t Struct::*member;
  Kind kind{};
  std::string_view help;
};
std::span<const Figure<Statistics>> statistics_figures();
std::span<const Figure<JournalTotals>> totals_figures();

Json view(const Statistics& statistics);
Json view(const ObjectState& object);
Json view(const LeaseState& lease);
Json view(const WaiterState& waiter);
Json view(const BlockRun& run);
Json view(const NamespaceState& state);
Json view(const SegmentState& segment);
Json view_of_totals(const Journal& journal);

std::string to_text(const Json& json);

}  // namespace hyperpod::emulator::admin
