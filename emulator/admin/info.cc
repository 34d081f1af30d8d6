// SPDX-License-Identifier: Apache-2.0
#include "admin/info.h"

#include <fmt/format.h>
#include <unistd.h>

#include "config/settings.h"
#include "text/time.h"

namespace hyperpod::emulator::admin {

std::string_view version() { return HYPERPOD_VERSION; }

Json info_view(const Control& control) {
  config::Configuration configuration;
  configuration.options = control.options();
  Json options = Json::object();
  for (const config::Setting& setting : config::settings()) {
    if (!setting.member.empty()) options[setting.key] = setting.show(configuration);
  }
  return {{"version", version()},
          {"pid", ::getpid()},
          {"url", control.url()},
          {"started", text::utc_time(control.started())},
          {"block_size", control.options().block_size},
          {"options", std::move(options)}};
}

Readiness readiness_of(const Control& control) {
  if (!control.ready()) return {.reason = "the emulator is stopping; it takes no requests"};
  const SegmentState segment = control.segment();
  if (!segment.linked) {
    return {.reason =
                fmt::format("/dev/shm/{} no longer leads to the segment, so no client can map "
                            "it; restart the daemon",
                            segment.name)};
  }
  if (!segment.intact) {
    return {.reason = fmt::format(
                "/dev/shm/{} was truncated by another process; restart the daemon", segment.name)};
  }
  const Statistics now = control.statistics();
  if (now.capacity_bytes - now.used_bytes + now.evictable_bytes < control.options().block_size) {
    return {.reason =
                "nothing can be stored: leases and PUTs in flight hold every block; wait for "
                "leases to end, or raise the capacity"};
  }
  return {.ready = true};
}

Json readiness_view(const Control& control) {
  const Readiness readiness = readiness_of(control);
  return {{"ready", readiness.ready}, {"reason", readiness.reason}};
}

Json clock_view(Control& control) {
  const Clock& clock = control.clock();
  const bool movable = dynamic_cast<const base::MovableClock*>(&clock) != nullptr;
  const char* const kind = !movable ? "real" : clock.runs_by_itself() ? "adjustable" : "manual";
  return {{"kind", kind}, {"movable", movable}};
}

std::int64_t emulator_time(Control& control) {
  const auto now = control.clock().now().time_since_epoch();
  return std::chrono::floor<std::chrono::microseconds>(now).count();
}

bool move_clock(Clock& clock, std::chrono::milliseconds step) {
  auto* const movable = dynamic_cast<base::MovableClock*>(&clock);
  if (movable == nullptr) return false;
  movable->advance(step);
  return true;
}

}  // namespace hyperpod::emulator::admin
