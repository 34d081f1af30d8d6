// SPDX-License-Identifier: Apache-2.0
// Assertions of what a function REQUIRES. They are checked where HYPERPOD_ASSERTIONS is defined
// (the CMake option of that name: every build that is tested), whatever NDEBUG says.
#pragma once

namespace hyperpod::base {

/// Prints the condition that did not hold, and where, and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace hyperpod::base

#ifdef HYPERPOD_ASSERTIONS
#define HYPERPOD_REQUIRE(condition) \
  ((condition) ? void() : ::hyperpod::base::assertion_failed(#condition, __FILE__, __LINE__))
#else
#define HYPERPOD_REQUIRE(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#endif
