// SPDX-License-Identifier: Apache-2.0
// A full cache on purpose: objects of an eighth of the capacity, leased or not.
//
// Five leased eighths fit beside nothing but three others, so whether five more fit tells whether
// the first five still pin their room; no order of eviction is assumed. Used by one check at a
// time.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance::daemon {

class Pressure {
 public:
  /// Skips the check when the capacity is unknown.
  explicit Pressure(Check& check);

  /// Stores an eighth under this name; the response.
  Response store(const Name& name);
  Response store() { return store(check_.fresh_name()); }
  /// Stores so many eighths that all room that nothing pins is used anew. What the daemon answers
  /// is not judged.
  void refill();
  /// Stores eighths and leases each of them, up to `count`; how many had room.
  int pin(int count, std::chrono::milliseconds ttl = std::chrono::seconds(60));
  /// The response to the first PUT that finds no room, when each object before it is leased.
  Response pin_until_refused();
  /// That the bytes under the leases of pin() are what was stored. Of each fragment the beginning
  /// is read, for an eighth may be large.
  void expect_pinned_bytes(std::string_view when) const;
  void release_all();

  std::uint64_t size() const { return size_; }

 private:
  /// nullopt if the daemon closes the connection without a response.
  std::optional<Response> try_to_store(const Name& name);

  Check& check_;
  Session session_;
  std::uint64_t size_;
  std::string piece_;
  std::vector<Grant> grants_;
};

/// Objects under lease, of which it is known what must stand there.
class HeldObjects {
 public:
  explicit HeldObjects(Check& check) : check_(check) {}

  /// A name and a body of some blocks. Small beside the cache, if its size is known.
  std::pair<Name, std::string> make();
  /// `how` says in a message how the lease was got.
  void add(Grant grant, std::string body, std::string how);
  /// That all bytes under the leases are as they were stored.
  void expect_intact(std::string_view when) const;
  void release_all(Session& session);

 private:
  struct Held {
    Grant grant;
    std::string body;
    std::string how;
  };

  Check& check_;
  std::vector<Held> held_;
};

}  // namespace hyperpod::conformance::daemon
