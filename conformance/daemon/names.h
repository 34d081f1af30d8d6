// SPDX-License-Identifier: Apache-2.0
// Names that a daemon may take for one another.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace hyperpod::conformance::daemon {

/// Pairs of endings, percent-encoded, that make two names of one, of keys and of buckets alike:
/// what differs in case, in a dropped or folded character, in a normal form or in a path's meaning.
std::span<const std::pair<std::string_view, std::string_view>> lookalikes();

/// A byte percent-encoded: "%2F".
std::string encoded(unsigned char c);
/// A name as a path segment has it: all but RFC 3986's unreserved characters percent-encoded.
std::string encoded(std::string_view name);

}  // namespace hyperpod::conformance::daemon
