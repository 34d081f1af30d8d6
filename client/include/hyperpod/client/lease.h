// SPDX-License-Identifier: Apache-2.0
// Leases: read-only views of an object's bytes where they lie in the daemon's segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "hyperpod/client/call.h"
#include "hyperpod/client/clock.h"
#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// The right to read one object until the lease's TTL has passed, counted from before the request
/// for it was sent. Move-only; released on destruction. One thread at a time may use a Lease; it
/// may outlive the client that granted it. In a child process made by fork() it is invalid, and its
/// destruction releases nothing: the parent's is the only one.
///
/// The views stay mapped for as long as the Lease lives, but what they show is the object only
/// while the lease is valid: read, then ask is_valid(), and discard what was read if it says no.
class Lease {
 public:
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  /// Releases in the background; Client::close() waits for that. If the client has been closed, the
  /// destructor waits itself, at most for the client's timeout.
  ~Lease();

  /// The daemon's name for the lease.
  const std::string& id() const;

  /// The object's bytes, in order; at least one view, none of them empty.
  std::span<const std::span<const std::byte>> fragments() const;

  /// Bytes of all fragments together.
  std::uint64_t size() const;

  /// Until expiry; zero once that has come or the lease was released.
  Duration time_left() const;

  /// Whether all that was read until now is the object's: the lease is neither expired nor
  /// released, and the daemon's segment is still the one that it was granted in.
  bool is_valid() const;

  /// Copies destination.size() bytes from `offset` of the object on. Errors: invalid_argument if
  /// the object has fewer; lease_expired if the lease was not valid from before the copy until
  /// after it, and then what stands in `destination` is worthless.
  Result<void> copy_to(std::span<std::byte> destination, std::uint64_t offset = 0) const;

  /// Releases now, and says how that went; later calls do nothing. A release that the daemon did
  /// not confirm is repeated in the background until the TTL has passed; Client::close() tries once
  /// more, and nobody after it.
  Result<void> release();

  /// The same without waiting. The Lease may go before `handler` is called.
  void async_release(Handler<Result<void>> handler);

 private:
  friend class ClientCore;
  class Impl;
  explicit Lease(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hyperpod::client
