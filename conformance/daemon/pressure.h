// SPDX-License-Identifier: Apache-2.0
// A full cache on purpose: objects of an eighth of the capacity, leased or not.
//
// Five leased eighths fit beside nothing but three others, so whether five more fit tells whether
// the first five still pin their room; no order of eviction is assumed. Used by one check at a
// time.
#pragma once

#include <cstdint>
#include <functional>
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
  /// Stores an eighth and calls `meanwhile` when half of it has been sent. What the daemon answers
  /// is not judged.
  void store_around(const std::function<void()>& meanwhile);
  /// Stores so many eighths, and then small objects, that all room that nothing pins is used anew,
  /// but for what is smaller than half a held object. What the daemon answers is not judged.
  void refill();
  /// The small objects of refill() alone: the oldest that is not pinned gives way to the first.
  void store_small_ones();
  /// Stores eighths and leases each of them for long_ttl(), up to `count`; how many had room.
  int pin(int count) { return pin_by(Way::plainly, count); }
  /// As pin(), with leases got in this way.
  int pin_by(Way way, int count) { return pin_by(way, count, long_ttl()); }
  int pin_by(Way way, int count, std::chrono::milliseconds ttl);
  /// Leases what of the latest refill() is there.
  void lease_what_is_there();
  /// A minute, or so long that the cache can be filled several times, as quick as that was so far.
  std::chrono::milliseconds long_ttl() const;
  /// That of the latest refill() what is granted has its own bytes.
  void expect_own_bytes_or_none(std::string_view when);
  /// The first PUT that finds no room, when each object before it is leased, and its response.
  std::pair<Name, Response> pin_until_refused();
  /// That the bytes under the leases are what was stored: each eighth's own. Of each fragment and
  /// each 4 KiB the beginning is read, for an eighth may be large. Skips the check where a lease
  /// may have expired.
  void expect_pinned_bytes(std::string_view when) const;
  void release_all();

  std::uint64_t size() const { return size_; }

 private:
  struct Pinned {
    Grant grant;
    std::string stamp;
    TimePoint until;  // It lives so long at least.
  };

  /// nullopt if the daemon closes the connection without a response.
  std::optional<Response> try_to_store(const Name& name, std::uint64_t body_size,
                                       std::function<void()> half_way = {});
  /// What begins each piece of the body of this name.
  static std::string stamp_of(const Name& name);
  bool pin_one(Way way, const Name& name, std::chrono::milliseconds ttl);
  bool lease(Session& session, const Name& name, std::chrono::milliseconds ttl);
  void expect_bytes_of(const Pinned& pinned, std::string_view when) const;

  Check& check_;
  Session session_;
  std::uint64_t size_;
  std::string piece_;
  std::vector<Pinned> pinned_;
  std::vector<Name> refilled_;
  Duration slowest_{};  // Of the PUTs of an eighth.
};

/// Objects under lease, of which it is known what must stand there.
class HeldObjects {
 public:
  /// All leases are for `ttl` or longer, and are got later than this.
  explicit HeldObjects(Check& check, std::chrono::milliseconds ttl = std::chrono::seconds(60))
      : check_(check), ttl_(ttl), until_(now() + ttl) {}

  std::chrono::milliseconds ttl() const { return ttl_; }
  /// A name and a body of some blocks. Small beside the cache, if its size is known.
  std::pair<Name, std::string> make();
  std::pair<Name, std::string> make(std::size_t size);
  /// `how` says in a message how the lease was got.
  void add(Grant grant, std::string body, std::string how);
  /// That all bytes under the leases are as they were stored. Skips the check where a lease may
  /// have expired.
  void expect_intact(std::string_view when) const;
  void release_all(Session& session);

 private:
  struct Held {
    Grant grant;
    std::string body;
    std::string how;
  };

  Check& check_;
  std::chrono::milliseconds ttl_;
  TimePoint until_;
  std::vector<Held> held_;
};

}  // namespace hyperpod::conformance::daemon
