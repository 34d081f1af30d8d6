// SPDX-License-Identifier: Apache-2.0
// The daemon as a state machine: buckets, objects, leases, waiters. It opens no socket and never
// sleeps; time is what its Clock says.
//
// Every member of Engine may be called from any thread. Handlers of held requests run on the thread
// whose call decided them, with no lock held, so they may call the engine.
#pragma once

#include <atomic>
#include <boost/container/deque.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <boost/intrusive/unordered_set.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/block_allocator.h"
#include "core/block_map.h"
#include "core/lease_id.h"
#include "core/memory.h"
#include "core/timer_wheel.h"
#include "core/use_order.h"
#include "hyperpod/emulator/options.h"
#include "hyperpod/emulator/state.h"
#include "hyperpod/emulator/statistics.h"

namespace hyperpod::emulator::core {

class Engine;

/// A run of bytes of the segment. An object is one or more of them, in order.
struct Fragment {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  friend bool operator==(const Fragment&, const Fragment&) = default;
};

using Fragments = std::vector<Fragment>;

/// Where a reservation or an object lies. Of an object nothing changes any more, so grants share it
/// and read it with no lock held.
struct Layout {
  Fragments fragments;
  BlockHolder holder = {};       ///< Of all its blocks.
  BlockMap::Shares shares = {};  ///< Made where the fragments are many; see BlockMap.
};

struct LeaseGrant {
  LeaseId id;
  std::shared_ptr<const Layout> layout;
  const Fragments& fragments() const { return layout->fragments; }
};

/// How much of a list of fragments has been given back, from its end.
struct GivenBack {
  std::size_t fragments = 0;
  std::uint64_t blocks_of_next = 0;
};

/// What a fault changes about one grant. Stands beside the request, so that the engine itself stays
/// faithful.
struct GrantFault {
  std::optional<Duration> real_ttl{};  ///< Instead of the TTL asked for.
  Duration hold_longer{};              ///< Past the hold asked for.
  bool forget = false;                 ///< The lease ends at once, unknown to release.
  bool evict = false;                  ///< The object goes at once, pinned or not.
  /// Not null: the object's bytes are overwritten with this stamp when they are freed, and the
  /// object goes when the lease expires.
  std::shared_ptr<const std::string> poison{};
};

enum class PutRefusal {
  exists,     ///< The key has an object, which stays as it is.
  empty,      ///< A lease must have at least one byte to point at.
  too_large,  ///< Larger than the whole segment.
  no_room,    ///< Larger than what is free or held by objects that no lease pins.
  no_memory,  ///< The system has no room for blocks that were not reserved at start.
};

enum class PutOutcome {
  stored,
  exists,
  empty,  ///< No byte was written.
  lost,   ///< The daemon was restarted while the body came.
};

/// Room in the segment whose bytes are on their way, or have come. Nobody but its owner sees it, no
/// object takes it, and destroying it gives it back. Filled by one thread at a time; must not
/// outlive its engine.
class Reservation : public boost::intrusive::list_base_hook<> {
 public:
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  virtual ~Reservation();

  /// Where the next bytes go, as far as they lie side by side; empty when the room is full.
  std::span<std::byte> window() const;
  /// Says that the first `count` bytes of window() have been written.
  void filled(std::uint64_t count);
  std::uint64_t bytes_written() const { return written_; }

  /// Makes more room when window() is empty and more bytes come. A refusal gives all of the room
  /// back; the reservation can then only be destroyed.
  tl::expected<void, PutRefusal> extend();

  /// Gives back what lies behind the last byte written. False if the daemon has been restarted
  /// since: the room is not its own any more.
  bool seal();
  /// The bytes written, in order, in as many pieces as they lie in. After seal() any thread may
  /// read them for as long as the reservation lives.
  std::vector<std::span<const std::byte>> bytes() const;

 protected:
  friend class Engine;
  Reservation(Engine& engine, bool of_put, std::optional<std::uint64_t> size);

  Engine& engine_;

 private:
  const bool of_put_;
  const std::shared_ptr<Memory> memory_;
  const std::optional<std::uint64_t> size_;  // as announced
  std::uint64_t blocks_ = 0;                 // reserved
  std::uint64_t run_ = 0;                    // of the daemon, in which it began
  GivenBack given_back_;                     // once it is over
  bool listed_ = false;  // in flight, as far as its own thread knows: a restart may have ended it
  // As reserved: the last fragments may be longer than what is written. Changed by the thread that
  // fills it, under the lock; so that thread reads it without.
  const std::shared_ptr<Layout> layout_ = std::make_shared<Layout>();
  std::size_t current_ = 0;
  std::uint64_t filled_in_current_ = 0;
  std::uint64_t written_ = 0;
};

/// Room reserved for one object. Invisible to everybody until commit; destroying it uncommitted
/// gives the room back.
class Put final : public Reservation {
 public:
  ~Put() override;

  /// Makes the bytes written so far the object, all at once, and grants the lease requests that
  /// wait for it. `exists` if another PUT of the key was complete first.
  PutOutcome commit();

 private:
  friend class Engine;
  Put(Engine& engine, std::string_view bucket, std::string_view key,
      std::optional<std::uint64_t> size);

  const std::string bucket_;
  const std::string key_;
};

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): cache lines are kept apart on purpose
class Engine {
 public:
  using WaiterId = std::uint64_t;
  /// Called once when a hold is over: with a lease, or with nothing when its time ran out.
  using GrantHandler = std::function<void(std::optional<LeaseGrant>)>;

  /// `clock` must outlive the engine. REQUIRES valid options (see validate.h) and a memory of
  /// options.capacity bytes.
  Engine(const Options& options, std::shared_ptr<Memory> memory, const Clock& clock);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Begins an object of `size` bytes, or of a size that is not known yet. Room is reserved in
  /// steps of options.limits.room_step bytes, the first one here and the others by Put::extend as
  /// the bytes come; it is made by evicting the least recently used objects that no lease pins.
  /// Refused if there could not be room for all of `size` now. Of several reasons the one that
  /// stands first in PutRefusal is told.
  tl::expected<std::unique_ptr<Put>, PutRefusal> begin_put(std::string_view bucket,
                                                           std::string_view key,
                                                           std::optional<std::uint64_t> size);

  /// Reserves room of `size` bytes for what is not an object, a checkpoint's shard: as begin_put,
  /// and nothing is evicted from it for an object. REQUIRES that a given size is not 0.
  tl::expected<std::unique_ptr<Reservation>, PutRefusal> reserve_room(
      std::optional<std::uint64_t> size);

  /// Where a call puts what has become of leases, in place of telling the observer of them. What
  /// stood there before is lost.
  using Changes = std::vector<LeaseChange>;

  /// Pins the object for `ttl` from now; nullopt if the key is absent. `connection` is told to the
  /// observer of leases.
  std::optional<LeaseGrant> acquire(std::string_view bucket, std::string_view key, Duration ttl,
                                    const GrantFault& fault = {}, std::uint64_t connection = 0,
                                    Changes* changes = nullptr);

  /// As acquire, but an absent key is not counted as a miss: whoever asks goes on to wait for it.
  std::optional<LeaseGrant> try_acquire(std::string_view bucket, std::string_view key, Duration ttl,
                                        const GrantFault& fault = {}, std::uint64_t connection = 0,
                                        Changes* changes = nullptr);

  /// As acquire, but when the key is absent waits for it, at most `hold`: `handler` is then called
  /// with the response, and the TTL counts from the moment of the grant.
  std::variant<LeaseGrant, WaiterId> acquire_or_wait(std::string_view bucket, std::string_view key,
                                                     Duration ttl, Duration hold,
                                                     GrantHandler handler,
                                                     const GrantFault& fault = {},
                                                     std::uint64_t connection = 0);

  /// Forgets a waiting request without calling its handler. False if the handler has been called or
  /// is about to be.
  bool drop_waiter(WaiterId id);

  /// Ends a lease. False if the id is unknown, already released or expired. Of one that is ended,
  /// bucket and key are put where the two point, if they do.
  bool release(const LeaseId& id, std::string* bucket = nullptr, std::string* key = nullptr,
               Changes* changes = nullptr);

  /// Bucket and key that a live lease is on.
  std::optional<std::pair<std::string, std::string>> leased_by(const LeaseId& id) const;

  /// Ends every lease; none of them can be released any more. What they pin stays pinned until they
  /// would have expired, so that whoever still reads under one reads the right bytes.
  void drop_leases();
  /// Drops every object, and the leases on them, as drop_leases() does: blocks under a lease are
  /// free once it would have expired. PUTs in flight go on.
  void drop_objects();
  /// As if the process had died and come back with other memory: objects, leases, waiters and PUTs
  /// in flight are gone. `exchange` is called under the lock at that moment, so that no lease is
  /// granted between what it does and the end of all that was; it gives the memory from then on. If
  /// it gives none, nothing has changed, and this is false.
  bool restart(const std::function<std::shared_ptr<Memory>()>& exchange);
  /// Later PUTs go to other memory; offsets of what is stored stay as they are, so all of it must
  /// be backed.
  void replace_memory(std::shared_ptr<Memory> memory);
  void reset_counters();

  /// Called with no lock held when a lease has been granted or has ended, before the call returns
  /// that brought it about, unless that takes its Changes. To be set before there is any lease.
  void observe_leases(std::function<void(const LeaseChange&)> observer);

  /// `alarm` is called, with no lock held, when something falls due earlier than next_due last
  /// told, and after run_due when anything is left. Whoever runs the timers then asks next_due
  /// again. One that is being called while it is replaced runs to its end.
  void set_alarm(std::function<void()> alarm);
  std::optional<TimePoint> next_due() const;
  /// Expires leases and ends holds as the clock demands.
  void run_due();

  /// Fills in everything but the data port's counters.
  Statistics statistics() const;
  /// Made of the pages that the calls below give; what it promises, State says.
  State state() const;
  /// As Emulator::objects and Emulator::leases. A page may be shorter than asked for, even empty,
  /// and not be the last.
  ObjectPage objects(std::uint64_t cursor, std::size_t most) const;
  LeasePage leases(std::uint64_t cursor, std::size_t most) const;
  WaiterPage waiters(std::uint64_t cursor, std::size_t most) const;
  /// A page of the blocks from `first` on, with at most `most` runs; see BlockPage.
  BlockPage blocks(std::uint64_t first, std::size_t most) const;
  MapState map() const;
  /// At most `most` leases and `most` waiters, each the next to end first. A lease that comes or
  /// goes meanwhile may be missing.
  LiveState live(std::size_t most) const;

  /// The most that one holding of the lock has handled so far: objects, leases, waiters, fragments
  /// that are reserved or freed, every 256 blocks of them, and every 64 parts of an object that the
  /// map counts. Whoever waits for the lock waits for so many steps of some microseconds at most.
  std::size_t longest_hold() const;

 private:
  friend class Put;
  friend class Reservation;
  struct Bucket;
  struct Leaving;

  // An epoch ends when everything that began in it is dropped at once: whatever has an older epoch
  // counts as gone, and is cleared away in steps.
  using Epoch = std::uint64_t;
  // From one restart to the next.
  using Run = std::uint64_t;

  using ByHash = boost::intrusive::unordered_set_base_hook<boost::intrusive::store_hash<true>>;

  using ByNumber = boost::intrusive::set_base_hook<boost::intrusive::tag<struct ByNumberTag>,
                                                   boost::intrusive::optimize_size<true>>;

  struct Object : UseOrder::Item, ByNumber, ByHash {
    Object(Bucket* in, std::string_view name) : bucket(in), key(name) {}
    Bucket* const bucket;
    const std::string key;
    std::shared_ptr<const Layout> layout;
    std::uint64_t blocks = 0;
    std::uint64_t number = 0;  // counts what is stored
    Epoch epoch = 0;
    bool gone = false;  // out of reach; its blocks are kept until no lease pins it
    bool condemned =
        false;  // evicted under its leases: gone, its blocks too, and no lease is known
    std::shared_ptr<const std::string> poison;
  };

  // Stands in leases_ for good and serves one lease after another.
  struct Lease final : Timer, ByHash {
    explicit Lease(Engine& owner) : engine(owner) {}
    void on_due() override { engine.expire(*this); }
    Engine& engine;
    Object* object = nullptr;    // null: free
    Lease* next_free = nullptr;  // of those that are free
    LeaseId id;
    std::uint64_t connection = 0;
    Epoch epoch = 0;
    bool dropped = false;       // unknown to everybody; only its pin is left
    bool takes_object = false;  // when it expires
  };

  struct WaiterQueue;

  // Stands in waiters_ for good, as a lease does in leases_.
  struct Waiter final : Timer,
                        boost::intrusive::list_base_hook<boost::intrusive::tag<struct QueueTag>> {
    explicit Waiter(Engine& owner) : engine(owner) {}
    void on_due() override { engine.end_wait(*this); }
    Engine& engine;
    WaiterId id = 0;               // its place, and how often that was taken
    WaiterQueue* queue = nullptr;  // null: free
    Waiter* next_free = nullptr;
    Run run = 0;
    Duration ttl{};
    GrantFault fault;
    std::uint64_t connection = 0;
    GrantHandler handler;
  };
  /// Lives as long as it has objects, gone ones too, or waiters.
  struct Bucket : ByHash {
    explicit Bucket(std::string_view called) : name(called) {}
    const std::string name;
    std::uint8_t colour = 0;  // on the map; 0 without objects
    std::uint64_t objects = 0;
    std::uint64_t gone = 0;
    std::uint64_t queues = 0;
  };

  /// Those who wait for one key, in the order in which they came. Lives as long as there are any.
  struct WaiterQueue : ByHash {
    WaiterQueue(Bucket* in, std::string_view name) : bucket(in), key(name) {}
    Bucket* const bucket;
    const std::string key;
    boost::intrusive::list<Waiter, boost::intrusive::base_hook<boost::intrusive::list_base_hook<
                                       boost::intrusive::tag<QueueTag>>>>
        waiters;
  };

  // An object that is gone and is neither reachable nor readable any more.
  struct Leaving {
    Object* object = nullptr;
    bool pinned = false;       // by being here, since leases on it are still to be ended
    std::size_t fragment = 0;  // that is stamped next, and from where on
    std::uint64_t stamped = 0;
    GivenBack freed = {};
  };

  struct Name {
    const Bucket* bucket;
    std::string_view key;
  };
  // Of objects and queues.
  struct NameHash {
    std::size_t operator()(const Name& name) const noexcept;
    template <class Named>
    std::size_t operator()(const Named& named) const noexcept {
      return (*this)(Name{named.bucket, named.key});
    }
  };
  struct NameEqual {
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept {
      return a.bucket == b.bucket && a.key == b.key;
    }
  };
  struct BucketHash {
    std::size_t operator()(std::string_view name) const noexcept {
      return std::hash<std::string_view>{}(name);
    }
    std::size_t operator()(const Bucket& bucket) const noexcept { return (*this)(bucket.name); }
  };
  struct BucketEqual {
    bool operator()(std::string_view name, const Bucket& bucket) const noexcept {
      return name == bucket.name;
    }
    bool operator()(const Bucket& bucket, std::string_view name) const noexcept {
      return name == bucket.name;
    }
    bool operator()(const Bucket& a, const Bucket& b) const noexcept { return a.name == b.name; }
  };
  struct IdHash {
    std::size_t operator()(const LeaseId& id) const noexcept { return std::hash<LeaseId>{}(id); }
    std::size_t operator()(const Lease& lease) const noexcept { return (*this)(lease.id); }
  };
  struct IdEqual {
    bool operator()(const LeaseId& id, const Lease& lease) const noexcept { return id == lease.id; }
    bool operator()(const Lease& lease, const LeaseId& id) const noexcept { return id == lease.id; }
    bool operator()(const Lease& a, const Lease& b) const noexcept { return a.id == b.id; }
  };
  template <class T, class Hash, class Equal>
  using Table =
      boost::intrusive::unordered_set<T, boost::intrusive::base_hook<ByHash>,
                                      boost::intrusive::power_2_buckets<true>,
                                      boost::intrusive::constant_time_size<false>,
                                      boost::intrusive::hash<Hash>, boost::intrusive::equal<Equal>>;
  struct NumberOf {
    using type = std::uint64_t;
    type operator()(const Object& object) const { return object.number; }
  };
  using ObjectsByNumber = boost::intrusive::set<Object, boost::intrusive::base_hook<ByNumber>,
                                                boost::intrusive::key_of_value<NumberOf>>;
  using Objects = Table<Object, NameHash, NameEqual>;
  using Leases = Table<Lease, IdHash, IdEqual>;
  using Buckets = Table<Bucket, BucketHash, BucketEqual>;
  using Queues = Table<WaiterQueue, NameHash, NameEqual>;
  // Large blocks: what grows with their number, and is copied at times, stays small.
  template <class T>
  using Slots = boost::container::deque<
      T, void, boost::container::deque_options_t<boost::container::block_size<1024>>>;

  /// Holds the lock; on the way out tells the observer, rings the alarm and calls the handlers
  /// decided under it.
  class Critical;
  /// Holds the lock for what decides nothing that others are to be told of.
  class Look;
  class Entry;
  /// A reservation under way, in steps between which others get the lock.
  struct Reserving;

  /// Null if the key is absent.
  Object* find(std::string_view bucket, std::string_view key);
  /// Null if there is none.
  Bucket* find_bucket(std::string_view name);
  Bucket& bucket_named(std::string_view name);
  void drop_if_unused(Bucket& bucket);

  /// But for fragments and bytes, which list() adds with no lock held.
  ObjectState shown(const Object& object) const;
  static void list(const std::vector<std::shared_ptr<const Layout>>& layouts,
                   std::vector<ObjectState>& objects);
  LeaseState shown(const Lease& lease, TimePoint now) const;
  WaiterState shown(const Waiter& waiter, TimePoint now) const;
  LeaseGrant grant(Object& object, const LeaseId& id, Duration ttl, const GrantFault& fault,
                   std::uint64_t connection);
  void end(Lease& lease, LeaseChange::What how);
  void tell(const Lease& lease, LeaseChange::What what);
  void expire(Lease& lease);
  void end_wait(Waiter& waiter);
  GrantHandler remove(Waiter& waiter);
  /// Grants those who wait for the object, or some of them; true if there are more.
  bool wake_some(Object& object);
  /// Null if there are none.
  WaiterQueue* waiting_for(const Name& name);
  Waiter* waiter_of(WaiterId id);

  Lease& free_lease();
  Waiter& free_waiter();
  void drop(Lease& lease);
  void free_up(Lease& lease);
  void clear_old(bool keep_pins);
  /// Ends what waits or is in flight since before the last restart.
  void clear_old_requests();

  void pin(Object& object);
  void unpin(Object& object);
  void evict(Object& object);
  /// Takes the object out of reach; its blocks are free once nothing pins them.
  void drop(Object& object);
  void take_out(Object& object);
  void count_eviction(const Object& object);
  /// Calls `count` with all that the map's bins have of the object: a bounded number of parts,
  /// however many fragments it has.
  template <class Count>
  void for_each_part(const Object& object, const Count& count) const;
  /// The least recently used object that no lease pins; null if there is none, or none was found
  /// in so many steps.
  Object* least_used(std::size_t& steps);
  /// Drops the object under its leases, which nobody knows any more: its blocks are free at once.
  void condemn(Object& object);
  /// Ends the leases on an object that was condemned, so many at once.
  void clear_condemned(Object& object);
  bool is_live(const Lease& lease) const;
  /// Counts what a holding of the lock has handled.
  void handled(std::size_t count = 1) const { handled_ += count; }
  /// To be called before the lock is given up.
  void note_hold() const;
  void arm(Timer& timer, TimePoint due);
  std::uint64_t whole_blocks(std::uint64_t bytes) const;
  std::uint64_t blocks_for(std::uint64_t size) const;
  /// How many of `blocks` a reservation gets at first.
  std::uint64_t first_step(std::uint64_t blocks) const;
  bool splits_header(std::uint64_t size) const;
  /// Finishes what take_step began. With no lock held.
  tl::expected<void, PutRefusal> reserve(Reservation& room, Reserving& wanted);
  /// Does as much of a reservation as may be done at once, or refuses it.
  void take_step(Reservation& room, Reserving& wanted);
  void refuse(Reservation& room, Reserving& wanted, PutRefusal why);
  Extents take_blocks(const Reservation& room, Reserving& wanted);
  bool back(const Extents& extents, Memory& memory) const;
  void free_object(Object& object);
  /// Goes on with the objects whose blocks were too many to be freed at once. True if some are
  /// left. Of one that goes, `last` has the layout, whose memory is freed with no lock held.
  bool free_some(std::shared_ptr<const Layout>& last);
  void free_rest();
  /// Of an object, from the end of its fragments. True if all is free.
  bool free_some(const Object& object, GivenBack& freed);
  /// Calls `free` with as much from the end of the fragments as may be done at once. True if that
  /// was the rest.
  template <class Free>
  bool some_from_end(const Fragments& fragments, GivenBack& done, const Free& free) const;
  bool stamp_some(Leaving& leaving);
  void destroy(Object& object);
  /// Lets those have the lock who wait for it. With no lock held.
  void give_way() const;
  Extent extent_of(const Fragment& fragment) const;

  void add_room(Reservation& room, const Extents& extents);
  /// The reservation's fragments with space for those of many more steps; empty if they have it.
  /// With no lock held, since copying them takes long where they are many.
  static Fragments widened(const Reservation& room);
  tl::expected<void, PutRefusal> extend(Reservation& room);
  PutOutcome commit(Put& put);
  Object& store(Put& put);
  /// Cuts the fragments off after the last byte. Returns the blocks beyond it.
  Fragments trim(Reservation& room);
  void abort(Reservation& room);
  bool is_current(const Reservation& room) const;
  /// Gives all of the room back, in steps, and forgets the reservation. With no lock held.
  void end(Reservation& room);
  /// Some of it; true if that was the rest.
  bool give_back_some(Reservation& room);
  /// What a reservation had in excess; true if that was the rest.
  bool give_back_some(const Fragments& surplus, GivenBack& done);
  void free_of_room(Extent extent);
  void forget(Reservation& room);
  bool seal(Reservation& room);

  static constexpr std::size_t cache_line = 64;

  const std::uint64_t capacity_;
  const std::uint64_t block_size_;
  const std::uint64_t step_blocks_;  // that a PUT reserves at once
  const Placement placement_;
  const Behaviour behaviour_;
  const Clock& clock_;

  // What nearly every call changes lies side by side, apart from what it only reads: a processor
  // that takes the lock takes each line that was changed from the cache of the one that had it.
  alignas(cache_line) mutable std::mutex mutex_;   // guards all but the next two
  mutable std::atomic<std::uint32_t> waiting_{0};  // for the lock
  mutable std::atomic<std::uint32_t> entered_{0};  // after having waited
  mutable std::size_t handled_ = 0;                // since the lock was taken
  Lease* free_lease_ = nullptr;
  std::uint64_t live_leases_ = 0;
  std::uint64_t evictable_blocks_ = 0;
  std::uint64_t pinned_blocks_ = 0;
  // The earliest time that a timer was armed for since the lock was taken.
  TimePoint armed_for_ = TimePoint::max();
  std::vector<LeaseChange> changes_;  // for the observer
  UseOrder by_use_;                   // of all objects that are not gone
  alignas(cache_line) Statistics totals_;

  alignas(cache_line) mutable std::size_t longest_hold_ = 0;
  Bucket* last_bucket_ = nullptr;  // found last; most requests ask for the same one
  Epoch object_epoch_ = 0;
  Epoch lease_epoch_ = 0;
  Run run_ = 0;
  // The earliest time that the alarm's owner knows of, from an alarm or from next_due().
  mutable std::optional<TimePoint> announced_due_;
  std::vector<std::pair<GrantHandler, std::optional<LeaseGrant>>> decided_;
  std::vector<Object*> condemned_;  // whose leases are to be ended; each has a pin for that
  bool freeing_ = false;            // a call is at it, and goes on until leaving_ is empty

  std::shared_ptr<Memory> memory_;
  BlockAllocator allocator_;
  BlockMap map_;
  TimerWheel wheel_;
  Slots<Lease> leases_;             // those that are free are chained from free_lease_
  std::uint64_t used_buckets_ = 0;  // that have objects
  Slots<Waiter> waiters_;           // those that are free are chained from free_waiter_
  Waiter* free_waiter_ = nullptr;
  std::uint64_t live_waiters_ = 0;
  boost::intrusive::list<Put> puts_;                  // in flight
  boost::intrusive::list<Reservation> reservations_;  // that are not PUTs
  // Bucket and key of each PUT in flight, where the first one begun is the one that counts.
  std::set<std::tuple<Run, std::string_view, std::string_view>> begun_;
  // The tables never grow: an insertion must not take long. Chains get longer instead.
  std::vector<Objects::bucket_type> object_slots_;
  Objects objects_;
  ObjectsByNumber objects_by_number_;
  std::uint64_t stored_ = 0;
  std::vector<Leases::bucket_type> lease_slots_;
  Leases lease_by_id_;
  std::vector<Buckets::bucket_type> bucket_slots_;
  Buckets buckets_;
  std::vector<Queues::bucket_type> queue_slots_;
  Queues queues_;
  Epoch first_epoch_ = 0;        // of the objects of this run
  std::deque<Leaving> leaving_;  // objects that are gone, whose blocks are being freed
  std::uint64_t leaving_blocks_ = 0;
  std::function<void(const LeaseChange&)> observer_;
  std::function<void()> alarm_;
};

}  // namespace hyperpod::emulator::core
