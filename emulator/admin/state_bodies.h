// SPDX-License-Identifier: Apache-2.0
// What the emulator holds as bodies of responses, made piece by piece: neither the engine's lock
// nor memory is held for all of it. What changes while a body is sent may be told either way.
//
// Every `control` must outlive the body.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "admin/control.h"
#include "admin/message.h"

namespace hyperpod::emulator::admin {

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// All that is given must hold.
struct ObjectFilter {
  std::optional<std::string> bucket{};
  std::optional<std::string> key{};
  // The block in which the object begins.
  std::uint64_t first_block = 0;
  std::uint64_t end_block = no_limit;
};

std::unique_ptr<Source> state_body(const Control& control);
/// At most `limit` objects, in the order of their first blocks.
std::unique_ptr<Source> objects_body(const Control& control, ObjectFilter filter,
                                     std::uint64_t limit);

}  // namespace hyperpod::emulator::admin
