// What stands behind a Lease.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "client_core.h"

namespace hyperpod::client {

class Lease::Impl {
 public:
  Impl(std::shared_ptr<ClientCore> core, ClientCore::Grant grant);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  const ClientCore::Grant& grant() const { return grant_; }
  std::span<const std::span<const std::byte>> fragments() const { return fragments_; }
  Duration time_left() const;
  Result<void> check() const;
  Result<void> release(TimePoint deadline);

  std::shared_ptr<ClientCore> core() const { return core_; }

 private:
  const std::shared_ptr<ClientCore> core_;
  const ClientCore::Grant grant_;
  std::vector<std::span<const std::byte>> fragments_;
  bool released_ = false;
};

}  // namespace hyperpod::client
