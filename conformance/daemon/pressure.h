// SPDX-License-Identifier: Apache-2.0
// A full cache on purpose: objects of an eighth of the capacity, leased or not.
//
// Five leased eighths fit beside nothing but three others, so whether five more fit tells whether
// the first five still pin their room; no order of eviction is assumed. Used by one check at a
// time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/check.h"

namespace hyperpod::conformance::daemon {

/// How a lease comes about.
enum class Way : std::uint8_t {
  plainly,
  waiting,                   ///< By a request that waited for its object.
  twice,                     ///< Two leases on each object.
  over_a_closed_connection,  ///< Which is closed when the lease has been granted.
};

class Pressure {
 public:
  /// Skips the check when the capacity is unknown.
  explicit Pressure(Check& check);

  /// Stores an eighth under this name; the response.
  Response store(const Name& name) { return store(name, size_); }
  /// Stores so many bytes.
  Response store(const Name& name, std::uint64_t size);
  Response store() { return store(check_.fresh_name()); }
  /// Stores so many eighths, and then small objects, that all room that nothing pins is used anew,
  /// but for what is smaller than half a held object. What the daemon answers is not judged.
  void refill();
  /// Stores eighths and leases each of them, up to `count`; how many had room.
  int pin(int count, std::chrono::milliseconds ttl = std::chrono::seconds(60));
  /// As pin(), with leases got in this way.
  int pin_by(Way way, int count, std::chrono::milliseconds ttl = std::chrono::seconds(60));
  /// The first PUT that finds no room, when each object before it is leased, and its response.
  std::pair<Name, Response> pin_until_refused();
  /// That the bytes under the leases are what was stored: each eighth's own. Of each fragment and
  /// each 4 KiB the beginning is read, for an eighth may be large.
  void expect_pinned_bytes(std::string_view when) const;
  void release_all();

  std::uint64_t size() const { return size_; }

 private:
  struct Pinned {
    Grant grant;
    std::string stamp;
  };

  /// nullopt if the daemon closes the connection without a response.
  std::optional<Response> try_to_store(const Name& name, std::uint64_t body_size);
  /// What begins each piece of the body of this name.
  static std::string stamp_of(const Name& name);
  bool pin_one(Way way, const Name& name, std::chrono::milliseconds ttl);
  void expect_bytes_of(const Pinned& pinned, std::string_view when) const;

  Check& check_;
  Session session_;
  std::uint64_t size_;
  std::string piece_;
  std::vector<Pinned> pinned_;
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
