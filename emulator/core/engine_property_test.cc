// SPDX-License-Identifier: Apache-2.0
// Random histories of PUTs, leases, held requests and time, run against the engine and against a
// model of it that is simple enough to be believed.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "core/engine.h"
#include "core/engine_test_support.h"

namespace hyperpod::emulator::core {
namespace {

constexpr std::uint64_t blocks_in_all = 20;
constexpr std::uint64_t capacity = blocks_in_all * block;
constexpr std::uint64_t head = 13;  // where worst_case ends an object's first fragment

/// One step of a history. What its numbers mean depends on its kind; each is taken modulo what
/// there is to choose from.
struct Step {
  enum Kind {
    begin,
    begin_unknown,
    write,
    fill,
    commit,
    abort,
    acquire,
    hold,
    drop,
    release,
    release_unknown,
    advance,
  };
  Kind kind = begin;
  unsigned name = 0;
  unsigned size = 0;
  unsigned pick = 0;
  unsigned micros = 0;
};

constexpr std::array kind_names = {"begin",  "begin_unknown", "write",           "fill",
                                   "commit", "abort",         "acquire",         "hold",
                                   "drop",   "release",       "release_unknown", "advance"};

void showValue(const Step& step, std::ostream& out) {
  out << kind_names[step.kind] << "(name " << step.name << ", size " << step.size << ", pick "
      << step.pick << ", " << step.micros << " us)";
}

struct Setup {
  Placement placement = Placement::contiguous;
  bool wake_waiters = true;
  PutRace put_race = PutRace::first_complete;
};

void showValue(const Setup& setup, std::ostream& out) {
  out << "placement " << static_cast<int>(setup.placement) << ", wake " << setup.wake_waiters
      << ", race " << static_cast<int>(setup.put_race);
}

rc::Gen<Step> any_step() {
  using rc::gen::inRange;
  const auto kind = rc::gen::weightedElement<Step::Kind>({
      {8, Step::begin},
      {3, Step::begin_unknown},
      {6, Step::write},
      {10, Step::fill},
      {10, Step::commit},
      {1, Step::abort},
      {8, Step::acquire},
      {10, Step::hold},
      {2, Step::drop},
      {6, Step::release},
      {1, Step::release_unknown},
      {5, Step::advance},
  });
  // Mostly a few blocks, sometimes as much as there is and more, with blocks' edges well visited.
  const auto size = rc::gen::weightedOneOf<unsigned>({
      {8, inRange(0u, static_cast<unsigned>(5 * block))},
      {3, rc::gen::map(inRange(1u, 7u),
                       [](unsigned blocks) { return static_cast<unsigned>(blocks * block); })},
      {1, rc::gen::map(inRange(0u, 3u),
                       [](unsigned over) { return static_cast<unsigned>(capacity - 1 + over); })},
      {1, inRange(0u, static_cast<unsigned>(capacity))},
  });
  return rc::gen::build<Step>(
      rc::gen::set(&Step::kind, kind), rc::gen::set(&Step::name, inRange(0u, 6u)),
      rc::gen::set(&Step::size, size), rc::gen::set(&Step::pick, inRange(0u, 1000u)),
      rc::gen::set(&Step::micros, inRange(1u, 4'000'000u)));
}

rc::Gen<Setup> any_setup() {
  return rc::gen::build<Setup>(
      rc::gen::set(&Setup::placement, rc::gen::element(Placement::contiguous, Placement::scattered,
                                                       Placement::worst_case)),
      rc::gen::set(&Setup::wake_waiters, rc::gen::element(true, true, false)),
      rc::gen::set(&Setup::put_race,
                   rc::gen::element(PutRace::first_complete, PutRace::first_begun)));
}

/// Joins neighbours: a model knows where bytes are, not in how many pieces they are told.
Fragments joined(const Fragments& fragments) {
  Fragments runs;
  for (const Fragment& fragment : fragments) {
    if (!runs.empty() && runs.back().offset + runs.back().length == fragment.offset) {
      runs.back().length += fragment.length;
    } else {
      runs.push_back(fragment);
    }
  }
  return runs;
}

using Name = std::pair<std::string, std::string>;

Name name_of(unsigned number) {
  return {number % 2 == 0 ? "even" : "odd", std::string(1, static_cast<char>('a' + number / 2))};
}

/// What the histories met, so that a property which meets nothing is noticed.
struct Met {
  Statistics sums;
  std::uint64_t no_room = 0, too_large = 0, growth_refused = 0, lost_races = 0, short_commits = 0;
  std::uint64_t woken = 0, granted_at_hold_end = 0, evictions_beside_pins = 0, in_pieces = 0;
};

/// The engine and its model, side by side.
class World {
 public:
  World(const Setup& setup, Met& met) : setup_(setup), met_(met), daemon_(options_for(setup)) {}

  ~World() {
    for (Flight& flight : flights_) flight.put.reset();
    for (const auto field : totals) met_.sums.*field += expected_.*field;
  }

  void run(const Step& step) {
    switch (step.kind) {
      case Step::begin:
        begin(name_of(step.name), step.size);
        break;
      case Step::begin_unknown:
        begin(name_of(step.name), std::nullopt);
        break;
      case Step::write:
        write_some(step.pick, step.size);
        break;
      case Step::fill:
        fill(step.pick, step.size);
        break;
      case Step::commit:
        commit(step.pick);
        break;
      case Step::abort:
        abort(step.pick);
        break;
      case Step::acquire:
        acquire(name_of(step.name), ttl_of(step));
        break;
      case Step::hold:
        hold(name_of(step.name), ttl_of(step), hold_of(step));
        break;
      case Step::drop:
        drop(step.pick);
        break;
      case Step::release:
        release(step.pick);
        break;
      case Step::release_unknown:
        release_unknown(step.pick);
        break;
      case Step::advance:
        advance(std::chrono::microseconds(step.micros));
        break;
    }
    check();
  }

 private:
  struct Stored {
    int id = 0;
    std::string bytes;
    Fragments where;
    std::uint64_t blocks = 0;
    std::uint64_t last_use = 0;
    int pins = 0;
    bool head_cut = false;
  };
  struct Flight {
    int id = 0;
    Name name;
    std::unique_ptr<Put> put;
    std::optional<std::uint64_t> announced;
    std::uint64_t reserved = 0;
    std::string bytes;
    Fragments where;
  };
  struct Held {
    LeaseGrant grant;
    Name name;
    std::string bytes;
    TimePoint due;
  };
  struct Waiting {
    Engine::WaiterId id = 0;
    int token = 0;
    Name name;
    Duration ttl{};
    TimePoint due;
  };
  struct Answer {
    int token = 0;
    std::optional<LeaseGrant> grant;
  };

  static constexpr std::array totals = {
      &Statistics::puts_stored,      &Statistics::puts_existing,  &Statistics::puts_refused,
      &Statistics::puts_aborted,     &Statistics::leases_granted, &Statistics::leases_released,
      &Statistics::leases_expired,   &Statistics::lease_misses,   &Statistics::waiters_dropped,
      &Statistics::releases_unknown, &Statistics::evictions};

  static Options options_for(const Setup& setup) {
    Options options = options_of(blocks_in_all, setup.placement);
    options.behaviour.wake_waiters = setup.wake_waiters;
    options.behaviour.put_race = setup.put_race;
    return options;
  }

  static Duration ttl_of(const Step& step) { return std::chrono::microseconds(step.micros); }
  static Duration hold_of(const Step& step) { return Duration(step.pick * 3'000'001ull + 1); }

  // --- Room ---

  static std::uint64_t whole_blocks(std::uint64_t bytes) { return (bytes + block - 1) / block; }

  static std::uint64_t blocks_with_cut_head(std::uint64_t size) {
    return 1 + whole_blocks(size - std::min(size, head));
  }

  /// Only what needs every block keeps its head in one piece.
  bool splits_header(std::uint64_t size) const {
    return setup_.placement == Placement::worst_case && blocks_with_cut_head(size) <= blocks_in_all;
  }

  std::uint64_t blocks_for(std::uint64_t size) const {
    return splits_header(size) ? blocks_with_cut_head(size) : whole_blocks(size);
  }

  std::uint64_t used_blocks() const {
    std::uint64_t used = 0;
    for (const auto& [name, object] : objects_) used += object.blocks;
    for (const Flight& flight : flights_) used += flight.reserved;
    return used;
  }

  std::uint64_t unpinned_blocks() const {
    std::uint64_t blocks = 0;
    for (const auto& [name, object] : objects_) blocks += object.pins == 0 ? object.blocks : 0;
    return blocks;
  }

  bool can_make_room(std::uint64_t blocks) const {
    return blocks_in_all - used_blocks() + unpinned_blocks() >= blocks;
  }

  void make_room(std::uint64_t blocks) {
    while (blocks_in_all - used_blocks() < blocks) {
      auto oldest = objects_.end();
      bool pins = false;
      for (auto object = objects_.begin(); object != objects_.end(); ++object) {
        pins |= object->second.pins > 0;
        if (object->second.pins > 0) continue;
        if (oldest == objects_.end() || object->second.last_use < oldest->second.last_use) {
          oldest = object;
        }
      }
      if (pins) ++met_.evictions_beside_pins;
      disown(oldest->second.id);
      objects_.erase(oldest);
      ++expected_.evictions;
    }
  }

  void disown(int id) { std::replace(owner_.begin(), owner_.end(), id, 0); }

  // --- PUTs ---

  void begin(const Name& name, std::optional<std::uint64_t> size) {
    std::set<PutRefusal> reasons;
    const bool in_flight = std::any_of(flights_.begin(), flights_.end(),
                                       [&](const Flight& flight) { return flight.name == name; });
    if (size == 0) reasons.insert(PutRefusal::empty);
    if (size > capacity) reasons.insert(PutRefusal::too_large);
    if (objects_.contains(name)) reasons.insert(PutRefusal::exists);
    if (setup_.put_race == PutRace::first_begun && in_flight) reasons.insert(PutRefusal::exists);
    const auto blocks = blocks_for(size.value_or(1));
    if (!can_make_room(blocks)) reasons.insert(PutRefusal::no_room);

    auto put = daemon_.engine.begin_put(name.first, name.second, size);
    RC_ASSERT(put.has_value() == reasons.empty());
    if (!put) {
      RC_ASSERT(reasons.contains(put.error()));
      if (reasons.contains(PutRefusal::exists)) RC_ASSERT(put.error() == PutRefusal::exists);
      ++(put.error() == PutRefusal::exists ? expected_.puts_existing : expected_.puts_refused);
      met_.no_room += put.error() == PutRefusal::no_room;
      met_.too_large += put.error() == PutRefusal::too_large;
      return;
    }
    make_room(blocks);
    flights_.push_back({++last_id_, name, std::move(*put), size, blocks, {}, {}});
  }

  void write_some(unsigned pick, std::uint64_t count) {
    if (flights_.empty()) return;
    const auto index = pick % flights_.size();
    Flight& flight = flights_[index];
    if (flight.announced) count = std::min(count, *flight.announced - flight.bytes.size());
    while (count > 0) {
      if (flight.put->window().empty() && !grow(flight)) {
        disown(flight.id);
        flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(index));
        return;
      }
      count -= write_into_window(flight, count);
    }
  }

  /// All that was announced; else as much as one step brings.
  void fill(unsigned pick, std::uint64_t size) {
    if (flights_.empty()) return;
    write_some(pick, flights_[pick % flights_.size()].announced.value_or(size));
  }

  std::uint64_t write_into_window(Flight& flight, std::uint64_t count) {
    const auto window = flight.put->window();
    RC_ASSERT(!window.empty());
    const Fragment span{static_cast<std::uint64_t>(window.data() - daemon_.memory.data()),
                        std::min<std::uint64_t>(window.size(), count)};
    RC_ASSERT(span.offset + window.size() <= capacity);
    RC_ASSERT(daemon_.blocks->is_backed({span.offset, window.size()}));
    for (auto at = span.offset / block; at <= (span.offset + span.length - 1) / block; ++at) {
      RC_ASSERT(owner_[at] == 0 || owner_[at] == flight.id);  // nobody else's
      owner_[at] = flight.id;
    }
    for (std::uint64_t i = 0; i < span.length; ++i) {
      const auto byte = static_cast<char>(flight.id * 31 + flight.bytes.size() * 7);
      window[i] = static_cast<std::byte>(byte);
      flight.bytes.push_back(byte);
    }
    flight.where.push_back(span);
    flight.put->filled(span.length);
    RC_ASSERT(flight.put->bytes_written() == flight.bytes.size());
    return span.length;
  }

  bool grow(Flight& flight) {
    RC_ASSERT(!flight.announced);  // an announced length has all of its room from the start
    const bool possible = flight.bytes.size() < capacity && can_make_room(1);
    const auto grown = flight.put->extend();
    RC_ASSERT(grown.has_value() == possible);
    if (!grown) {
      RC_ASSERT(grown.error() ==
                (flight.bytes.size() < capacity ? PutRefusal::no_room : PutRefusal::too_large));
      ++expected_.puts_refused;
      ++met_.growth_refused;
      return false;
    }
    make_room(1);
    ++flight.reserved;
    return true;
  }

  void commit(unsigned pick) {
    if (flights_.empty()) return;
    const auto chosen = flights_.begin() + static_cast<std::ptrdiff_t>(pick % flights_.size());
    if (chosen->bytes.empty()) return;  // a REQUIRES of commit
    Flight flight = std::move(*chosen);
    flights_.erase(chosen);
    const auto outcome = flight.put->commit();
    if (objects_.contains(flight.name)) {
      RC_ASSERT(outcome == PutOutcome::exists);
      ++expected_.puts_existing;
      ++met_.lost_races;
      disown(flight.id);
      return;
    }
    RC_ASSERT(outcome == PutOutcome::stored);
    ++expected_.puts_stored;
    met_.short_commits += flight.bytes.size() < flight.announced.value_or(0);
    Stored object{flight.id,
                  flight.bytes,
                  flight.where,
                  0,
                  ++uses_,
                  0,
                  splits_header(flight.announced.value_or(1))};
    object.blocks = static_cast<std::uint64_t>(std::count(owner_.begin(), owner_.end(), flight.id));
    met_.in_pieces += joined(object.where).size() > 1;
    objects_.emplace(flight.name, object);
    if (setup_.wake_waiters) wake(flight.name);
  }

  void abort(unsigned pick) {
    if (flights_.empty()) return;
    const auto chosen = flights_.begin() + static_cast<std::ptrdiff_t>(pick % flights_.size());
    disown(chosen->id);
    flights_.erase(chosen);
    ++expected_.puts_aborted;
  }

  // --- Leases ---

  void granted(const Name& name, const LeaseGrant& grant, TimePoint due) {
    Stored& object = objects_.at(name);
    RC_ASSERT(joined(grant.fragments()) == joined(object.where));
    for (const Fragment& fragment : grant.fragments()) RC_ASSERT(fragment.length > 0);
    if (object.head_cut && object.bytes.size() > head) {
      RC_ASSERT(grant.fragments().front().length == head);
    }
    for (const Held& other : leases_) RC_ASSERT(!(other.grant.id == grant.id));
    ++object.pins;
    object.last_use = ++uses_;
    ++expected_.leases_granted;
    leases_.push_back({grant, name, object.bytes, due});
  }

  void acquire(const Name& name, Duration ttl) {
    const auto grant = daemon_.engine.acquire(name.first, name.second, ttl);
    RC_ASSERT(grant.has_value() == objects_.contains(name));
    if (grant) {
      granted(name, *grant, daemon_.clock.now() + ttl);
    } else {
      ++expected_.lease_misses;
    }
  }

  void release(unsigned pick) {
    if (leases_.empty()) return;
    const auto chosen = leases_.begin() + static_cast<std::ptrdiff_t>(pick % leases_.size());
    RC_ASSERT(daemon_.engine.release(chosen->grant.id));
    ended_.push_back(chosen->grant.id);
    --objects_.at(chosen->name).pins;
    leases_.erase(chosen);
    ++expected_.leases_released;
  }

  void release_unknown(unsigned pick) {
    const auto id = ended_.empty() ? LeaseId::generate() : ended_[pick % ended_.size()];
    RC_ASSERT(!daemon_.engine.release(id));
    ++expected_.releases_unknown;
  }

  // --- Held requests ---

  void hold(const Name& name, Duration ttl, Duration hold) {
    const int token = ++last_id_;
    auto held = daemon_.engine.acquire_or_wait(name.first, name.second, ttl, hold,
                                               [this, token](std::optional<LeaseGrant> grant) {
                                                 answers_.push_back({token, grant});
                                               });
    RC_ASSERT(std::holds_alternative<LeaseGrant>(held) == objects_.contains(name));
    if (const auto* grant = std::get_if<LeaseGrant>(&held)) {
      granted(name, *grant, daemon_.clock.now() + ttl);
    } else {
      waiting_.push_back(
          {std::get<Engine::WaiterId>(held), token, name, ttl, daemon_.clock.now() + hold});
    }
  }

  void drop(unsigned pick) {
    if (waiting_.empty()) return;
    const auto chosen = waiting_.begin() + static_cast<std::ptrdiff_t>(pick % waiting_.size());
    RC_ASSERT(daemon_.engine.drop_waiter(chosen->id));
    RC_ASSERT(!daemon_.engine.drop_waiter(chosen->id));
    waiting_.erase(chosen);
    ++expected_.waiters_dropped;
  }

  /// Everybody who waits for the name has been granted a lease, in the order in which they came.
  void wake(const Name& name) {
    for (auto waiter = waiting_.begin(); waiter != waiting_.end();) {
      if (waiter->name != name) {
        ++waiter;
        continue;
      }
      RC_ASSERT(!answers_.empty());
      RC_ASSERT(answers_.front().token == waiter->token);
      RC_ASSERT(answers_.front().grant.has_value());
      granted(name, *answers_.front().grant, daemon_.clock.now() + waiter->ttl);
      answers_.erase(answers_.begin());
      waiter = waiting_.erase(waiter);
      ++met_.woken;
    }
  }

  // --- Time ---

  void advance(Duration step) {
    const TimePoint end = daemon_.clock.now() + step;
    daemon_.clock.advance(step);
    while (true) {
      const auto by_due = [](const auto& a, const auto& b) { return a.due < b.due; };
      const auto lease = std::min_element(leases_.begin(), leases_.end(), by_due);
      const auto waiter = std::min_element(waiting_.begin(), waiting_.end(), by_due);
      const bool lease_due = lease != leases_.end() && lease->due <= end;
      const bool waiter_due = waiter != waiting_.end() && waiter->due <= end;
      if (!lease_due && !waiter_due) return;
      if (waiter_due && (!lease_due || waiter->due < lease->due)) {
        hold_ended(*waiter);
        waiting_.erase(waiter);
      } else {
        ended_.push_back(lease->grant.id);
        --objects_.at(lease->name).pins;
        leases_.erase(lease);
        ++expected_.leases_expired;
      }
    }
  }

  void hold_ended(const Waiting& waiter) {
    RC_ASSERT(!answers_.empty());
    const Answer answer = answers_.front();
    answers_.erase(answers_.begin());
    RC_ASSERT(answer.token == waiter.token);
    RC_ASSERT(answer.grant.has_value() == objects_.contains(waiter.name));
    if (answer.grant) {
      granted(waiter.name, *answer.grant, waiter.due + waiter.ttl);
      ++met_.granted_at_hold_end;
    } else {
      ++expected_.lease_misses;
    }
  }

  // --- What holds after each step ---

  /// The objects that the pages of blocks list, each as often as they do.
  std::multiset<Name> listed() const {
    std::multiset<Name> names;
    BlockPage page;
    do {
      page = daemon_.engine.blocks(page.next_block, 2);
      for (const ObjectState& object : page.objects) names.emplace(object.bucket, object.key);
    } while (page.next_block < page.blocks);
    return names;
  }

  std::multiset<Name> listed_by_model() const {
    std::multiset<Name> names;
    for (const auto& [name, object] : objects_) names.insert(name);
    return names;
  }

  void check() const {
    RC_ASSERT(answers_.empty());  // nobody was answered whom the model did not expect

    const Statistics now = daemon_.engine.statistics();
    for (const auto field : totals) RC_ASSERT((now.*field) == (expected_.*field));
    RC_ASSERT(now.leases_granted == now.leases_released + now.leases_expired + now.live_leases);
    RC_ASSERT(now.live_leases == leases_.size());
    RC_ASSERT(now.objects == objects_.size());
    RC_ASSERT(now.waiters == waiting_.size());
    RC_ASSERT(now.puts_in_flight == flights_.size());
    RC_ASSERT(now.capacity_bytes == capacity);
    RC_ASSERT(now.used_bytes == used_blocks() * block);
    std::set<std::string> buckets;
    std::uint64_t pinned = 0;
    for (const auto& [name, object] : objects_) {
      buckets.insert(name.first);
      pinned += object.pins > 0 ? object.blocks : 0;
    }
    RC_ASSERT(now.buckets == buckets.size());
    RC_ASSERT(now.pinned_bytes == pinned * block);

    for (const auto& [name, object] : objects_) {
      RC_ASSERT(read(daemon_.memory, object.where) == object.bytes);
    }
    RC_ASSERT(listed() == listed_by_model());
    for (const Flight& flight : flights_) {
      RC_ASSERT(read(daemon_.memory, flight.where) == flight.bytes);
    }
    for (const Held& lease : leases_) RC_ASSERT(daemon_.content(lease.grant) == lease.bytes);
  }

  const Setup setup_;
  Met& met_;
  TestEngine daemon_;
  std::map<Name, Stored> objects_;
  std::vector<Flight> flights_;
  std::vector<Held> leases_;
  std::vector<Waiting> waiting_;  // in the order in which they came
  std::vector<Answer> answers_;   // not yet matched with the model's
  std::vector<LeaseId> ended_;
  std::vector<int> owner_ = std::vector<int>(blocks_in_all, 0);  // whose bytes a block holds
  Statistics expected_;
  std::uint64_t uses_ = 0;
  int last_id_ = 0;
};

TEST(EngineProperty, AgreesWithItsModel) {
  Met met;
  EXPECT_TRUE(rc::check([&] {
    const auto setup = *any_setup();
    const auto steps = *rc::gen::resize(800, rc::gen::container<std::vector<Step>>(any_step()));
    World world(setup, met);
    for (const Step& step : steps) world.run(step);
  }));
  // A property that meets nothing would hold, too.
  EXPECT_GT(met.sums.puts_stored, 300u);
  EXPECT_GT(met.sums.puts_existing, 1000u);
  EXPECT_GT(met.sums.puts_aborted, 50u);
  EXPECT_GT(met.sums.evictions, 200u);
  EXPECT_GT(met.sums.leases_released, 500u);
  EXPECT_GT(met.sums.leases_expired, 1000u);
  EXPECT_GT(met.sums.lease_misses, 1000u);
  EXPECT_GT(met.sums.waiters_dropped, 100u);
  EXPECT_GT(met.evictions_beside_pins, 90u);
  EXPECT_GT(met.no_room, 100u);
  EXPECT_GT(met.too_large, 30u);
  EXPECT_GT(met.growth_refused, 50u);
  EXPECT_GT(met.lost_races, 25u);
  EXPECT_GT(met.short_commits, 15u);
  EXPECT_GT(met.woken, 60u);
  EXPECT_GT(met.granted_at_hold_end, 15u);
  EXPECT_GT(met.in_pieces, 200u);
}

}  // namespace
}  // namespace hyperpod::emulator::core
