// SPDX-License-Identifier: Apache-2.0
// The checks by chapter. Each table follows the catalogue's order; daemon_checks() joins them.
#pragma once

#include <span>

#include "daemon/suite.h"

namespace hyperpod::conformance::daemon {

/// Which findings follow from others.
std::span<const check::Cause> daemon_causes();

std::span<const CheckEntry> store_checks();
std::span<const CheckEntry> key_checks();
std::span<const CheckEntry> bucket_checks();
std::span<const CheckEntry> lease_checks();
std::span<const CheckEntry> hold_checks();
std::span<const CheckEntry> ttl_checks();
std::span<const CheckEntry> pin_checks();
std::span<const CheckEntry> release_checks();
std::span<const CheckEntry> shared_memory_checks();
std::span<const CheckEntry> concurrency_checks();
std::span<const CheckEntry> http_checks();
std::span<const CheckEntry> limit_checks();
std::span<const CheckEntry> tls_checks();
std::span<const CheckEntry> restart_checks();
std::span<const CheckEntry> checkpoint_checks();

}  // namespace hyperpod::conformance::daemon
