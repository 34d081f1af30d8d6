// SPDX-License-Identifier: Apache-2.0
// What stands behind a Lease.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "client_core.h"

namespace hyperpod::client {

class Lease::Impl {
 public:
  /// Throws std::bad_alloc, and has left `grant` as it was then.
  Impl(std::shared_ptr<ClientCore> core, leases::Grant&& grant);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  const leases::Grant& grant() const { return grant_; }
  std::span<const std::span<const std::byte>> fragments() const { return fragments_; }
  Duration time_left() const;
  /// Why what was read until now may not be trusted, if so.
  Result<void> check() const;
  /// The same without a look at the segment.
  Result<void> check_time() const;
  /// Copies, and checks when all is copied. REQUIRES: the object has these bytes.
  Result<void> copy(std::span<std::byte> destination, std::uint64_t offset) const;
  /// Releases, and says how that went; in the background, unless this thread is `waiting` for it.
  void release(leases::Leases::Released&& released, WaitingThread* waiting = nullptr);
  bool is_released() const { return released_; }

  ClientCore& core() const { return *core_; }

 private:
  std::shared_ptr<ClientCore> core_;
  leases::Grant grant_;
  std::vector<std::span<const std::byte>> fragments_;
  bool released_ = false;
};

}  // namespace hyperpod::client
