// A full cache on purpose: objects of an eighth of the capacity, leased or not.
//
// Five leased eighths fit beside nothing but three others, so whether five more fit tells whether
// the first five still pin their room; no order of eviction is assumed. Used by one check at a
// time.
#pragma once

#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance {

class Pressure {
 public:
  /// Skips the check when the capacity is unknown.
  explicit Pressure(Check& check);

  /// Stores an eighth under this name; the answer.
  Answer store(const Name& name);
  Answer store() { return store(check_.fresh_name()); }
  /// Stores eighths and leases each of them, up to `count`; how many had room.
  int pin(int count, std::chrono::milliseconds ttl = std::chrono::seconds(60));
  /// The answer to the first PUT that finds no room, when each object before it is leased.
  Answer pin_until_refused();
  void release_all();

 private:
  Check& check_;
  Session session_;
  std::uint64_t size_;
  std::string piece_;
  std::vector<Grant> grants_;
};

}  // namespace hyperpod::conformance
