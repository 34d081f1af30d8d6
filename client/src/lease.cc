#include "hyperpod/client/lease.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstring>

#include "lease_impl.h"

namespace hyperpod::client {

Lease::Impl::Impl(std::shared_ptr<ClientCore> core, ClientCore::Grant grant)
    : core_(std::move(core)), grant_(std::move(grant)) {
  fragments_.reserve(grant_.ranges.size());
  for (const FragmentRange& range : grant_.ranges) {
    fragments_.push_back(grant_.mapping->bytes(range));
  }
}

Lease::Impl::~Impl() { std::ignore = release(core_->put_deadline()); }

Duration Lease::Impl::time_left() const {
  return released_ ? Duration::zero() : std::max(grant_.expires - core_->now(), Duration::zero());
}

// Says why what was read until now may not be trusted, if so.
Result<void> Lease::Impl::check() const {
  if (time_left() == Duration::zero()) {
    return tl::unexpected(
        Error{ErrorCode::lease_expired,
              fmt::format("the lease '{}' {}", grant_.id,
                          released_ ? "has been released" : "expired before its bytes were read")});
  }
  const auto current = core_->is_current(grant_);
  if (!current || !*current) {
    return tl::unexpected(
        Error{ErrorCode::lease_expired,
              fmt::format("the lease '{}' ended when its daemon's segment went", grant_.id)});
  }
  return {};
}

Result<void> Lease::Impl::release(TimePoint deadline) {
  if (released_) return {};
  released_ = true;
  return core_->release(grant_, deadline);
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
Result<void> Lease::release() { return impl_->release(impl_->core()->put_deadline()); }

Result<void> Lease::copy_to(std::span<std::byte> destination, std::uint64_t offset) const {
  if (offset > size() || destination.size() > size() - offset) {
    return tl::unexpected(Error{ErrorCode::invalid_argument,
                                fmt::format("the leased object has {} bytes, not {} from {} on",
                                            size(), destination.size(), offset)});
  }
  if (auto valid = impl_->check(); !valid) return valid;
  for (std::span<const std::byte> fragment : fragments()) {
    if (destination.empty()) break;
    if (offset >= fragment.size()) {
      offset -= fragment.size();
      continue;
    }
    const auto part = fragment.subspan(
        offset, std::min<std::size_t>(fragment.size() - offset, destination.size()));
    std::memcpy(destination.data(), part.data(), part.size());
    destination = destination.subspan(part.size());
    offset = 0;
  }
  return impl_->check();
}

}  // namespace hyperpod::client
