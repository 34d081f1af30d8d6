// SPDX-License-Identifier: Apache-2.0
// The workloads of the table: requests as LMCache's clients send them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "load/load.h"

namespace hyperpod::bench {

/// The object key number `number`, percent-encoded: in length and letters like those of LMCache.
/// Numbers are below 2^48.
std::string object_key(std::uint64_t number);

/// A whole PUT of `body` under that key.
std::string put_request(std::uint64_t number, std::string_view body);
/// Only its head, for a body of `body_bytes`.
std::string put_head(std::uint64_t number, std::uint64_t body_bytes);
std::string lease_request(std::uint64_t number, unsigned hold_ms);
std::string release_request(std::string_view id);

/// Lease, release by the id received, lease, … Each connection uses the object of its own number.
class LeaseAndRelease final : public Workload {
 public:
  explicit LeaseAndRelease(std::size_t connections);
  bool next(std::size_t connection, bool stopping, std::string& request) override;
  bool answered(std::size_t connection, const Response& response) override;

 private:
  struct State {
    std::string lease;  // the request, always the same
    std::string id;     // of the lease held; empty: none
  };
  std::vector<State> states_;
};

/// Stores objects 0 … count - 1, all with the same small body.
class StoreObjects final : public Workload {
 public:
  StoreObjects(std::size_t connections, std::uint64_t count, std::string body);
  bool next(std::size_t connection, bool stopping, std::string& request) override;
  bool answered(std::size_t connection, const Response& response) override;

 private:
  const std::uint64_t count_;
  const std::string body_;
  std::vector<std::uint64_t> next_;  // by connection
};

/// One lease request a connection, for an object that nobody stores, to be held for `hold_ms`.
class HeldLease final : public Workload {
 public:
  HeldLease(std::size_t connections, unsigned hold_ms);
  bool next(std::size_t connection, bool stopping, std::string& request) override;
  bool answered(std::size_t connection, const Response& response) override;

 private:
  const unsigned hold_ms_;
  std::vector<char> asked_;  // by connection
};

}  // namespace hyperpod::bench
