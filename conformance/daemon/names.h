// SPDX-License-Identifier: Apache-2.0
// Names that a daemon may take for one another.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/check.h"

namespace hyperpod::conformance::daemon {

/// Pairs of endings, percent-encoded, that make two names of one, of keys and of buckets alike:
/// what differs in case, in a dropped or folded character, in a normal form or in a path's meaning.
std::span<const std::pair<std::string_view, std::string_view>> lookalikes();

/// A byte percent-encoded: "%2F".
std::string encoded(unsigned char c);
/// A name as a path segment has it: all but RFC 3986's unreserved characters percent-encoded.
std::string encoded(std::string_view name);

/// Whether a daemon, or a proxy in front of it, may refuse a name for this in it, percent-encoded:
/// control characters, which no client puts there.
bool may_be_refused(std::string_view encoded_name);
/// Whether this response to a PUT refuses it.
bool is_refusal(const Response& response);
/// Expects that nothing is stored under `name`: a miss, or, where the name may be refused, that it
/// is by a PUT and by a lease request alike.
void expect_not_stored(Check& check, Session& session, const Name& name, const std::string& why);

}  // namespace hyperpod::conformance::daemon
