// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fork.h"
#include "lease_impl.h"
#include "no_memory.h"
#include "points.h"
#include "waiter.h"

namespace hyperpod::client {

Lease::Impl::Impl(std::shared_ptr<ClientCore> core, leases::Grant&& grant)
    : core_(std::move(core)) {
  fragments_.reserve(grant.ranges.size());
  grant_ = std::move(grant);
  for (const memory::FragmentRange& range : grant_.ranges) {
    auto bytes = grant_.mapping->bytes(range);
    HYPERPOD_POINT("lease.fragment", bytes, fragments_);
    fragments_.push_back(bytes);
  }
}

Lease::Impl::~Impl() {
  if (core_->is_forked()) {
    keep_forever(std::move(core_));
    return;
  }
  if (released_) return;
  try {
    if (core_->is_closed() && !core_->on_loop()) {  // nobody will wait for it later
      Waiter<Result<void>> waiter;
      release(waiter.handler());
      std::ignore = waiter.wait();
    } else {
      release({});
    }
  } catch (const std::bad_alloc&) {
    core_->count_left_to_its_ttl();
  }
}

Duration Lease::Impl::time_left() const {
  return released_ ? Duration::zero() : std::max(grant_.expires - core_->now(), Duration::zero());
}

Result<void> Lease::Impl::check_time() const {
  if (auto usable = core_->check_caller(false); !usable) return usable;
  bool expired = time_left() == Duration::zero();
  HYPERPOD_POINT("lease.expired", expired);
  if (expired) {
    return tl::unexpected(
        Error{ErrorCode::lease_expired,
              fmt::format("the lease '{}' {}", grant_.id,
                          released_ ? "has been released" : "expired before its bytes were read")});
  }
  return {};
}

Result<void> Lease::Impl::check() const {
  if (auto usable = check_time(); !usable) return usable;
  const auto current = core_->is_current(grant_);
  if (!current || !*current) {
    return tl::unexpected(
        Error{ErrorCode::lease_expired,
              fmt::format("the lease '{}' ended when its daemon's segment went", grant_.id)});
  }
  return {};
}

void Lease::Impl::release(leases::Leases::Released&& released, WaitingThread* waiting) {
  core_->release(grant_, std::move(released), waiting);
  released_ = true;
}

Lease::Lease(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;

const std::string& Lease::id() const { return impl_->grant().id; }
std::span<const std::span<const std::byte>> Lease::fragments() const { return impl_->fragments(); }
std::uint64_t Lease::size() const { return impl_->grant().size; }
Duration Lease::time_left() const { return impl_->time_left(); }
bool Lease::is_valid() const { return impl_->check().has_value(); }

Result<void> Lease::release() {
  if (auto usable = impl_->core().check_caller(true); !usable) return usable;
  if (impl_->is_released()) return {};
  try {
    Waiter<Result<void>> waiter;
    impl_->release(waiter.handler(), &waiter);
    return waiter.wait();
  } catch (const std::bad_alloc&) {  // it may be tried again
    return tl::unexpected(no_memory());
  }
}

void Lease::async_release(Handler<Result<void>> handler) {
  auto core = impl_->core().shared_from_this();
  if (auto usable = core->check_caller(false); !usable) {
    core->deliver(handler, std::move(usable));
    keep_forever(std::move(core));
    return;
  }
  std::shared_ptr<Handler<Result<void>>> kept;
  try {
    kept = std::make_shared<Handler<Result<void>>>(std::move(handler));
    leases::Leases::Released tell = [core, kept](Result<void> released) {
      core->deliver(*kept, std::move(released));
    };
    if (!impl_->is_released()) return impl_->release(std::move(tell));
    core->post([tell = std::move(tell)]() mutable { tell({}); });
  } catch (const std::bad_alloc&) {
    core->deliver<Result<void>>(kept ? *kept : handler, tl::unexpected(no_memory()));
  }
}

Result<void> Lease::copy_to(std::span<std::byte> destination, std::uint64_t offset) const {
  if (offset > size() || destination.size() > size() - offset) {
    return tl::unexpected(Error{ErrorCode::invalid_argument,
                                fmt::format("the leased object has {} bytes, not {} from {} on",
                                            size(), destination.size(), offset)});
  }
  if (auto valid = impl_->check(); !valid) return valid;
  return impl_->copy(destination, offset);
}

Result<void> Lease::Impl::copy(std::span<std::byte> destination, std::uint64_t offset) const {
  for (std::span<const std::byte> fragment : fragments_) {
    if (destination.empty()) break;
    if (offset >= fragment.size()) {
      offset -= fragment.size();
      continue;
    }
    const auto part = fragment.subspan(
        offset, std::min<std::size_t>(fragment.size() - offset, destination.size()));
    memory::copy(destination.first(part.size()), part, core_->copy_helpers());
    destination = destination.subspan(part.size());
    offset = 0;
  }
  HYPERPOD_POINT("lease.copied");
  return check();
}

}  // namespace hyperpod::client
