// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::core {
namespace {

// Shorter than the 28 bytes of a chunk header, so that the header straddles two fragments.
constexpr std::uint64_t worst_case_head = 13;

// What is done at once under the lock, so that it is held for tenths of a millisecond.
constexpr std::size_t evictions_at_once = 256;
constexpr std::size_t timers_at_once = 256;
constexpr std::size_t waiters_at_once = 256;
constexpr std::size_t leases_at_once = 512;  // to look at
constexpr std::size_t listed_at_once = 1024;
constexpr Portion room_at_once{.extents = 512, .blocks = 64 * 1024};
constexpr std::uint64_t stamped_at_once = 1 << 20;  // bytes

// An object with no more than these is freed together with others.
constexpr Portion small{.extents = 4, .blocks = 256};
// What counts as much as a fragment that is taken or freed: so many blocks, and so many parts of an
// object that the map counts.
constexpr std::uint64_t blocks_handled_as_one = 256;
constexpr std::size_t parts_handled_as_one = 64;
// More fragments than these are summed up for the map before the object is there.
constexpr std::size_t few_fragments = 64;
// From here on space for fragments is made without the lock.
constexpr std::size_t many_fragments = 4096;

// A waiter's id is its place and, above these bits, how often that place was taken.
constexpr int place_bits = 32;

constexpr std::size_t least_object_slots = 1024;
constexpr std::size_t most_object_slots = 1u << 20;
constexpr std::size_t lease_slots = 1u << 16;
constexpr std::size_t name_slots = 1u << 14;  // of buckets, and of keys that are waited for

std::size_t object_slots(std::uint64_t blocks) {
  return std::bit_ceil(std::clamp<std::uint64_t>(blocks, least_object_slots, most_object_slots));
}

/// Fills `bytes` with `text`, again and again, of which `before` bytes have been written already.
void stamp(std::span<std::byte> bytes, std::string_view text, std::uint64_t before) {
  for (std::size_t done = 0; done < bytes.size();) {
    const auto part = text.substr((before + done) % text.size());
    const auto count = std::min(bytes.size() - done, part.size());
    std::memcpy(bytes.data() + done, part.data(), count);
    done += count;
  }
}

/// Takes as much as `left` allows from the end of `extent`.
Extent cut_end(Extent& extent, Portion& left) {
  const auto count = std::min(extent.count, left.blocks);
  extent.count -= count;
  --left.extents;
  left.blocks -= count;
  return {extent.first + extent.count, count};
}

constexpr auto due_of = [](const auto& item) {
  if constexpr (requires { item.time_left; }) {
    return item.time_left;
  } else {
    return item.due;
  }
};

// Some tenths of a microsecond, in which another thread of the same core has the core to itself.
void pause() {
  for (int i = 0; i < 4; ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
  }
}

bool allows_more(const Portion& left) { return left.extents > 0 && left.blocks > 0; }

}  // namespace

/// Takes the lock. Who had to wait for it is counted, so that a call of many steps can give way.
class Engine::Entry {
 public:
  explicit Entry(const Engine& engine) : lock_(engine.mutex_, std::try_to_lock) {
    // Nearly always it is held for less time than it takes to sleep and to be woken.
    for (int tries = 32; tries > 0 && !lock_.owns_lock(); --tries) {
      pause();
      static_cast<void>(lock_.try_lock());
    }
    if (!lock_.owns_lock()) {
      ++engine.waiting_;
      lock_.lock();
      --engine.waiting_;
      ++engine.entered_;
    }
    engine.handled_ = 0;
  }
  void unlock() { lock_.unlock(); }

 private:
  std::unique_lock<std::mutex> lock_;
};

void Engine::note_hold() const {
  if (handled_ > longest_hold_) longest_hold_ = handled_;
}

void Engine::give_way() const {
  if (waiting_ == 0) return;
  // Unlocking alone gives way to nobody: whoever waits has to be woken first, and whoever unlocks
  // would have the lock again by then.
  const auto before = entered_.load();
  while (waiting_ > 0 && entered_ == before) std::this_thread::yield();
}

class Engine::Look {
 public:
  explicit Look(const Engine& engine) : engine_(engine), entry_(engine) {}
  ~Look() { engine_.note_hold(); }
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

 private:
  const Engine& engine_;
  const Entry entry_;
};

class Engine::Critical {
 public:
  explicit Critical(Engine& engine, Changes* changes = nullptr)
      : engine_(engine), changes_(changes), entry_(engine) {}

  ~Critical() {
    Changes to_tell;
    Changes& changes = changes_ != nullptr ? *changes_ : to_tell;
    changes.clear();
    changes.swap(engine_.changes_);
    const auto decided = taken(engine_.decided_);
    const auto condemned = taken(engine_.condemned_);
    engine_.note_hold();
    const auto alarm = alarm_is_due() ? engine_.alarm_ : nullptr;
    // One call frees what is left; others are not to do its work.
    const bool frees = !engine_.leaving_.empty() && !std::exchange(engine_.freeing_, true);
    entry_.unlock();
    if (frees) engine_.free_rest();
    for (const LeaseChange& change : to_tell) engine_.observer_(change);
    for (Object* const object : condemned) engine_.clear_condemned(*object);
    if (alarm) alarm();
    for (const auto& [handler, grant] : decided) handler(grant);
  }

 private:
  // Nearly always empty, and not to be written to then.
  template <class T>
  static std::vector<T> taken(std::vector<T>& items) {
    std::vector<T> all;
    if (!items.empty()) all.swap(items);
    return all;
  }

  bool alarm_is_due() {
    const auto armed_for = std::exchange(engine_.armed_for_, TimePoint::max());
    if (!engine_.alarm_) return false;
    // Nearly always the case, and quicker to see than what falls due next.
    if (engine_.announced_due_ && *engine_.announced_due_ <= armed_for) return false;
    const auto due = engine_.wheel_.next_due();
    if (!due || (engine_.announced_due_ && *engine_.announced_due_ <= *due)) return false;
    engine_.announced_due_ = due;
    return true;
  }

  Engine& engine_;
  Changes* const changes_;
  Entry entry_;
};

// --- Puts ---------------------------------------------------------------------------------------

Reservation::Reservation(Engine& engine, bool of_put, std::optional<std::uint64_t> size)
    : engine_(engine), of_put_(of_put), memory_(engine.memory_), size_(size), run_(engine.run_) {}

Reservation::~Reservation() { engine_.abort(*this); }

Put::Put(Engine& engine, std::string_view bucket, std::string_view key,
         std::optional<std::uint64_t> size)
    : Reservation(engine, true, size), bucket_(bucket), key_(key) {}

// Before bucket_ and key_ go, which others look at while it is in flight.
Put::~Put() { engine_.abort(*this); }

std::span<std::byte> Reservation::window() const {
  if (current_ == layout_->fragments.size()) return {};
  const Fragment& fragment = layout_->fragments[current_];
  return memory_->bytes().subspan(fragment.offset + filled_in_current_,
                                  fragment.length - filled_in_current_);
}

void Reservation::filled(std::uint64_t count) {
  if (count == 0) return;  // also legal where there is no fragment left to count in
  const Fragments& fragments = layout_->fragments;
  HYPERPOD_REQUIRE(current_ < fragments.size() &&
                   count <= fragments[current_].length - filled_in_current_);
  written_ += count;
  filled_in_current_ += count;
  if (filled_in_current_ == fragments[current_].length) {
    ++current_;
    filled_in_current_ = 0;
  }
}

tl::expected<void, PutRefusal> Reservation::extend() { return engine_.extend(*this); }

bool Reservation::seal() { return engine_.seal(*this); }

std::vector<std::span<const std::byte>> Reservation::bytes() const {
  std::vector<std::span<const std::byte>> pieces;
  std::uint64_t left = written_;
  for (const Fragment& fragment : layout_->fragments) {
    const std::uint64_t length = std::min(left, fragment.length);
    if (length == 0) break;
    pieces.push_back(memory_->bytes().subspan(fragment.offset, length));
    left -= length;
  }
  return pieces;
}

PutOutcome Put::commit() { return engine_.commit(*this); }

struct Engine::Reserving {
  std::uint64_t blocks;                       // still to be taken
  std::uint64_t in_all;                       // that the reservation is going to have
  bool splits_header = false;                 // once all are taken
  std::optional<std::uint64_t> apart = 0;     // see BlockAllocator::allocate_apart
  std::optional<std::uint64_t> unbacked = 0;  // free blocks from here on may have to be backed
  Extents to_back = {};                       // with the lock released
  std::optional<PutRefusal> refusal = {};
  std::shared_ptr<const Layout> evicted = {};  // whose memory is freed with the lock released
};

tl::expected<std::unique_ptr<Put>, PutRefusal> Engine::begin_put(
    std::string_view bucket, std::string_view key, std::optional<std::uint64_t> size) {
  std::unique_ptr<Put> put;  // before the lock: a refused Put is destroyed after the lock is gone
  const auto in_all = blocks_for(size.value_or(1));
  Reserving wanted{.blocks = first_step(in_all),
                   .in_all = in_all,
                   .splits_header = splits_header(size.value_or(1))};
  {
    Critical critical(*this);
    const auto refuse = [this](PutRefusal why) {
      ++(why == PutRefusal::exists ? totals_.puts_existing : totals_.puts_refused);
      return tl::make_unexpected(why);
    };
    put.reset(new Put(*this, bucket, key, size));
    const std::tuple<Run, std::string_view, std::string_view> name(run_, put->bucket_, put->key_);
    // Before what only an announced size tells: the response is the same without one.
    if (find(bucket, key) != nullptr || begun_.contains(name)) return refuse(PutRefusal::exists);
    if (size == 0) return refuse(PutRefusal::empty);
    if (size > capacity_) return refuse(PutRefusal::too_large);
    if (behaviour_.put_race == PutRace::first_begun) begun_.insert(name);
    puts_.push_back(*put);
    put->listed_ = true;
    take_step(*put, wanted);
  }
  if (auto reserved = reserve(*put, wanted); !reserved) {
    return tl::make_unexpected(reserved.error());
  }
  return put;
}

tl::expected<std::unique_ptr<Reservation>, PutRefusal> Engine::reserve_room(
    std::optional<std::uint64_t> size) {
  HYPERPOD_REQUIRE(size != 0);
  if (size > capacity_) return tl::make_unexpected(PutRefusal::too_large);
  std::unique_ptr<Reservation> room;  // before the lock, as in begin_put
  const auto in_all = blocks_for(size.value_or(1));
  Reserving wanted{.blocks = first_step(in_all),
                   .in_all = in_all,
                   .splits_header = splits_header(size.value_or(1))};
  {
    Critical critical(*this);
    room.reset(new Reservation(*this, false, size));
    reservations_.push_back(*room);
    room->listed_ = true;
    take_step(*room, wanted);
  }
  if (auto reserved = reserve(*room, wanted); !reserved) {
    return tl::make_unexpected(reserved.error());
  }
  return room;
}

std::uint64_t Engine::first_step(std::uint64_t blocks) const {
  return placement_ == Placement::contiguous ? std::min(blocks, step_blocks_) : blocks;
}

std::uint64_t Engine::whole_blocks(std::uint64_t bytes) const {
  return (bytes + block_size_ - 1) / block_size_;
}

bool Engine::splits_header(std::uint64_t size) const {
  // Costs a block, which an object that needs all of them does not have.
  const auto blocks = 1 + whole_blocks(size - std::min(size, worst_case_head));
  return placement_ == Placement::worst_case && blocks * block_size_ <= capacity_;
}

std::uint64_t Engine::blocks_for(std::uint64_t size) const {
  if (!splits_header(size)) return whole_blocks(size);
  return 1 + whole_blocks(size - std::min(size, worst_case_head));
}

tl::expected<void, PutRefusal> Engine::reserve(Reservation& room, Reserving& wanted) {
  while (!wanted.refusal) {
    const bool backed = back(wanted.to_back, *room.memory_);
    if (backed && wanted.blocks == 0) return {};
    wanted.evicted.reset();
    Fragments wider = widened(room);
    give_way();
    Critical critical(*this);
    if (!wider.empty()) room.layout_->fragments.swap(wider);
    if (backed) {
      take_step(room, wanted);
    } else {
      refuse(room, wanted, PutRefusal::no_memory);
    }
  }
  end(room);
  return tl::make_unexpected(*wanted.refusal);
}

void Engine::refuse(Reservation& room, Reserving& wanted, PutRefusal why) {
  wanted.refusal = why;
  totals_.puts_refused += room.of_put_;
}

void Engine::take_step(Reservation& room, Reserving& wanted) {
  wanted.to_back.clear();
  if (!is_current(room)) return refuse(room, wanted, PutRefusal::no_room);
  const auto needed = wanted.in_all - std::min(wanted.in_all, room.blocks_);
  if (allocator_.free_blocks() < needed) {
    if (wheel_.run_due(clock_.now(), timers_at_once)) return;  // what pins nothing
    if (allocator_.free_blocks() + leaving_blocks_ + evictable_blocks_ < needed) {
      return refuse(room, wanted, PutRefusal::no_room);
    }
  }
  if (allocator_.free_blocks() < wanted.blocks) {
    // Blocks of objects are backed. What else is needed is backed first, so that nothing is evicted
    // in vain.
    if (wanted.unbacked && !room.memory_->is_backed()) {
      wanted.to_back = allocator_.free_extents(*wanted.unbacked, room_at_once.extents);
      handled(wanted.to_back.size());
      if (!wanted.to_back.empty()) {
        wanted.unbacked = wanted.to_back.back().first + wanted.to_back.back().count;
        return;
      }
      wanted.unbacked.reset();
    }
    for (std::size_t left = evictions_at_once;
         allocator_.free_blocks() + leaving_blocks_ < wanted.blocks; --left) {
      Object* const oldest = left > 0 ? least_used(left) : nullptr;
      if (oldest == nullptr || left == 0) return;
      evict(*oldest);
    }
    if (allocator_.free_blocks() < wanted.blocks) {
      free_some(wanted.evicted);
      return;
    }
  }
  Extents taken = take_blocks(room, wanted);
  add_room(room, taken);
  for (const Extent& extent : taken) {
    wanted.blocks -= extent.count;
    room.blocks_ += extent.count;
  }
  if (wanted.blocks == 0 && wanted.splits_header) {
    room.layout_->fragments.front().length = worst_case_head;
  }
  wanted.to_back = std::move(taken);
}

Extents Engine::take_blocks(const Reservation& room, Reserving& wanted) {
  Portion left = room_at_once;
  if (placement_ != Placement::contiguous) {
    Extents extents = allocator_.allocate_apart(wanted.blocks, wanted.apart, left);
    // Descending offsets make a reader that assumes ascending ones fail.
    if (placement_ == Placement::worst_case) std::ranges::reverse(extents);
    return extents;
  }
  const Fragments& fragments = room.layout_->fragments;
  if (fragments.empty()) {
    return allocator_.allocate_first(wanted.blocks, wanted.in_all, left);
  }
  const Fragment& last = fragments.back();
  const auto beyond = (last.offset + last.length) / block_size_;
  const auto beside = allocator_.take_at(beyond, std::min(wanted.blocks, left.blocks));
  Extents extents;
  if (beside > 0) extents.push_back({beyond, beside});
  left.blocks -= beside;
  if (beside < wanted.blocks) {
    const auto rest = allocator_.allocate(wanted.blocks - beside, left);
    extents.insert(extents.end(), rest.begin(), rest.end());
  }
  return extents;
}

bool Engine::back(const Extents& extents, Memory& memory) const {
  return std::ranges::all_of(extents, [&](const Extent& extent) {
    return memory.back(extent.first * block_size_, extent.count * block_size_);
  });
}

void Engine::add_room(Reservation& room, const Extents& extents) {
  Layout& layout = *room.layout_;
  layout.holder = {room.of_put_ ? BlockRun::Owner::put : BlockRun::Owner::checkpoint, &room};
  for (const Extent& extent : extents) {
    handled(1 + extent.count / blocks_handled_as_one);
    map_.reserve(extent, layout.holder);
    const Fragment added{extent.first * block_size_, extent.count * block_size_};
    if (placement_ == Placement::contiguous && !layout.fragments.empty()) {
      Fragment& last = layout.fragments.back();
      if (last.offset + last.length == added.offset) {
        // A full last fragment that grows is the one being written again.
        if (room.current_ == layout.fragments.size()) {
          --room.current_;
          room.filled_in_current_ = last.length;
        }
        last.length += added.length;
        continue;
      }
    }
    layout.fragments.push_back(added);
  }
}

Fragments Engine::widened(const Reservation& room) {
  const Fragments& fragments = room.layout_->fragments;
  Fragments wider;
  if (fragments.size() < many_fragments) return wider;
  if (fragments.capacity() - fragments.size() >= room_at_once.extents) return wider;
  wider.reserve(2 * fragments.size());
  wider = fragments;
  return wider;
}

tl::expected<void, PutRefusal> Engine::extend(Reservation& room) {
  Reserving wanted{};
  {
    Fragments wider = widened(room);
    Critical critical(*this);
    if (!wider.empty()) room.layout_->fragments.swap(wider);
    if (!is_current(room)) return tl::make_unexpected(PutRefusal::no_room);
    wanted.in_all = room.size_ ? blocks_for(*room.size_) : room.blocks_ + 1;
    const auto more = std::min(wanted.in_all - std::min(wanted.in_all, room.blocks_), step_blocks_);
    wanted.blocks = std::max<std::uint64_t>(more, 1);
    if (room.written_ >= capacity_) {
      refuse(room, wanted, PutRefusal::too_large);
    } else {
      take_step(room, wanted);
    }
  }
  return reserve(room, wanted);
}

PutOutcome Engine::commit(Put& put) {
  Layout& layout = *put.layout_;
  if (layout.fragments.size() > few_fragments || put.blocks_ > room_at_once.blocks) {
    // What takes long is done while nobody can see it.
    if (!seal(put)) return PutOutcome::lost;
    Extents extents;
    for (const Fragment& fragment : layout.fragments) extents.push_back(extent_of(fragment));
    layout.shares = map_.shares_of(extents);
  }
  Object* stored = nullptr;
  bool more_wait = false;
  PutOutcome outcome = PutOutcome::stored;
  {
    Critical critical(*this);
    if (!is_current(put)) return PutOutcome::lost;
    if (find(put.bucket_, put.key_) != nullptr) {
      ++totals_.puts_existing;
      outcome = PutOutcome::exists;
    } else if (put.written_ == 0) {
      ++totals_.puts_refused;
      outcome = PutOutcome::empty;
    } else {
      GivenBack done;
      give_back_some(trim(put), done);
      stored = &store(put);
      forget(put);
      put.listed_ = false;
      more_wait = behaviour_.wake_waiters && wake_some(*stored);
      // Until all who waited have their lease.
      if (more_wait) pin(*stored);
    }
  }
  if (outcome != PutOutcome::stored) {
    end(put);
    return outcome;
  }
  while (more_wait) {
    give_way();
    Critical critical(*this);
    const bool there = !stored->gone && stored->epoch == object_epoch_;
    more_wait = there && wake_some(*stored);
    if (!more_wait) unpin(*stored);
  }
  return PutOutcome::stored;
}

Engine::Object& Engine::store(Put& put) {
  Bucket& bucket = bucket_named(put.bucket_);
  auto* const object = new Object(&bucket, put.key_);
  objects_.insert(*object);
  object->number = ++stored_;
  objects_by_number_.insert(objects_by_number_.end(), *object);
  if (bucket.objects++ == 0) ++used_buckets_;
  object->epoch = object_epoch_;
  put.layout_->holder = {BlockRun::Owner::object, object};
  object->layout = put.layout_;
  object->blocks = put.blocks_;
  if (bucket.colour == 0) bucket.colour = map_.claim_colour(bucket.name);
  for_each_part(*object, [&](const auto& part) { map_.store(part, bucket.colour); });
  by_use_.add(*object);
  evictable_blocks_ += object->blocks;
  ++totals_.puts_stored;
  ++totals_.objects;
  return *object;
}

Fragments Engine::trim(Reservation& room) {
  Fragments unused;
  Fragments& fragments = room.layout_->fragments;
  if (room.filled_in_current_ > 0) {
    Fragment& last = fragments[room.current_++];
    const auto kept = whole_blocks(room.filled_in_current_) * block_size_;
    if (kept < last.length) unused.push_back({last.offset + kept, last.length - kept});
    last.length = std::exchange(room.filled_in_current_, 0);
  }
  const auto end = fragments.begin() + static_cast<std::ptrdiff_t>(room.current_);
  unused.insert(unused.end(), end, fragments.end());
  fragments.erase(end, fragments.end());
  for (const Fragment& fragment : unused) room.blocks_ -= whole_blocks(fragment.length);
  return unused;
}

bool Engine::is_current(const Reservation& room) const {
  return room.is_linked() && room.run_ == run_;
}

void Engine::abort(Reservation& room) {
  if (!std::exchange(room.listed_, false)) return;
  {
    Critical critical(*this);
    if (!room.is_linked()) return;
    totals_.puts_aborted += room.of_put_ && room.run_ == run_;
    if (give_back_some(room)) return forget(room);
  }
  end(room);
}

void Engine::end(Reservation& room) {
  room.listed_ = false;
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    if (!room.is_linked()) return;  // a restart has done it
    more = !give_back_some(room);
    if (!more) forget(room);
  }
}

// Leaves the fragments as they are: after a restart its own thread may be reading them.
bool Engine::give_back_some(Reservation& room) {
  return give_back_some(room.layout_->fragments, room.given_back_);
}

bool Engine::give_back_some(const Fragments& surplus, GivenBack& done) {
  return some_from_end(surplus, done, [this](const Extent& extent) { free_of_room(extent); });
}

template <class Free>
bool Engine::some_from_end(const Fragments& fragments, GivenBack& done, const Free& free) const {
  for (Portion left = room_at_once; allows_more(left) && done.fragments < fragments.size();) {
    Extent extent = extent_of(fragments[fragments.size() - 1 - done.fragments]);
    extent.count -= done.blocks_of_next;
    const Extent end = cut_end(extent, left);
    handled(1 + end.count / blocks_handled_as_one);
    free(end);
    done.blocks_of_next += end.count;
    if (extent.count > 0) continue;
    ++done.fragments;
    done.blocks_of_next = 0;
  }
  return done.fragments == fragments.size();
}

void Engine::free_of_room(Extent extent) {
  map_.give_back(extent);
  allocator_.release(extent);
}

void Engine::forget(Reservation& room) {
  if (room.of_put_) {
    const auto& put = static_cast<Put&>(room);
    if (behaviour_.put_race == PutRace::first_begun) {
      begun_.erase({put.run_, put.bucket_, put.key_});
    }
    puts_.erase(puts_.iterator_to(put));
  } else {
    reservations_.erase(reservations_.iterator_to(room));
  }
}

bool Engine::seal(Reservation& room) {
  Fragments surplus;
  GivenBack done;
  bool more = true;
  {
    Critical critical(*this);
    if (!is_current(room)) return false;
    surplus = trim(room);
    more = !give_back_some(surplus, done);
  }
  while (more) {
    give_way();
    const Critical critical(*this);
    more = !give_back_some(surplus, done);
  }
  return true;
}

Extent Engine::extent_of(const Fragment& fragment) const {
  return {fragment.offset / block_size_, whole_blocks(fragment.length)};
}

// --- Objects ------------------------------------------------------------------------------------

Engine::Engine(const Options& options, std::shared_ptr<Memory> memory, const Clock& clock)
    : capacity_(options.capacity),
      block_size_(options.block_size),
      step_blocks_(std::max<std::uint64_t>(options.limits.room_step / options.block_size, 1)),
      placement_(options.placement),
      behaviour_(options.behaviour),
      clock_(clock),
      memory_(std::move(memory)),
      allocator_(options.capacity / options.block_size),
      map_(options.capacity / options.block_size),
      wheel_(clock.now()),
      object_slots_(object_slots(options.capacity / options.block_size)),
      objects_(Objects::bucket_traits(object_slots_.data(), object_slots_.size())),
      lease_slots_(lease_slots),
      lease_by_id_(Leases::bucket_traits(lease_slots_.data(), lease_slots_.size())),
      bucket_slots_(name_slots),
      buckets_(Buckets::bucket_traits(bucket_slots_.data(), bucket_slots_.size())),
      queue_slots_(name_slots),
      queues_(Queues::bucket_traits(queue_slots_.data(), queue_slots_.size())) {}

Engine::~Engine() {
  for (Lease& lease : leases_) {
    if (lease.object != nullptr && lease.object->gone && by_use_.unpin(*lease.object)) {
      delete lease.object;
    }
  }
  lease_by_id_.clear();
  by_use_.clear();
  objects_by_number_.clear();
  objects_.clear_and_dispose([](Object* object) { delete object; });
  queues_.clear_and_dispose([](WaiterQueue* queue) {
    queue->waiters.clear();
    delete queue;
  });
  buckets_.clear_and_dispose([](Bucket* bucket) { delete bucket; });
}

std::size_t Engine::NameHash::operator()(const Name& name) const noexcept {
  const auto bucket = reinterpret_cast<std::uintptr_t>(name.bucket) >> 4;
  return std::hash<std::string_view>{}(name.key) ^ (bucket * 0x9E3779B97F4A7C15ull);
}

Engine::Bucket* Engine::find_bucket(std::string_view name) {
  if (last_bucket_ != nullptr && last_bucket_->name == name) return last_bucket_;
  const auto found = buckets_.find(name, BucketHash{}, BucketEqual{});
  if (found == buckets_.end()) return nullptr;
  return last_bucket_ = &*found;
}

Engine::Object* Engine::find(std::string_view bucket, std::string_view key) {
  const Bucket* const in = find_bucket(bucket);
  if (in == nullptr) return nullptr;
  const auto found = objects_.find(Name{in, key}, NameHash{}, NameEqual{});
  if (found == objects_.end()) return nullptr;
  if (found->epoch == object_epoch_) return &*found;
  drop(*found);
  return nullptr;
}

Engine::Bucket& Engine::bucket_named(std::string_view name) {
  if (Bucket* const known = find_bucket(name)) return *known;
  auto* const made = new Bucket(name);
  buckets_.insert(*made);
  return *(last_bucket_ = made);
}

void Engine::drop_if_unused(Bucket& bucket) {
  if (bucket.objects > 0 || bucket.gone > 0) return;
  map_.return_colour(std::exchange(bucket.colour, 0));
  if (bucket.queues > 0) return;
  if (last_bucket_ == &bucket) last_bucket_ = nullptr;
  buckets_.erase_and_dispose(buckets_.iterator_to(bucket), [](Bucket* unused) { delete unused; });
}

void Engine::pin(Object& object) {
  if (!by_use_.pin(object)) return;
  evictable_blocks_ -= object.blocks;
  pinned_blocks_ += object.blocks;
  for_each_part(object, [&](const auto& part) { map_.pin(part); });
}

void Engine::unpin(Object& object) {
  if (!by_use_.unpin(object)) return;
  pinned_blocks_ -= object.blocks;
  for_each_part(object, [&](const auto& part) { map_.unpin(part); });
  if (object.gone) return free_object(object);
  evictable_blocks_ += object.blocks;
  if (object.epoch != object_epoch_) drop(object);
}

void Engine::evict(Object& object) {
  count_eviction(object);
  drop(object);
}

void Engine::count_eviction(const Object& object) {
  if (object.epoch != object_epoch_) return;
  ++totals_.evictions;
  for_each_part(object, [&](const auto& part) { map_.count_eviction(part); });
}

template <class Count>
void Engine::for_each_part(const Object& object, const Count& count) const {
  const Layout& layout = *object.layout;
  if (layout.shares.empty()) {
    handled(layout.fragments.size() / parts_handled_as_one);
    for (const Fragment& fragment : layout.fragments) count(extent_of(fragment));
  } else {
    handled(layout.shares.size() / parts_handled_as_one);
    for (const BlockMap::Share& share : layout.shares) count(share);
  }
}

void Engine::drop(Object& object) {
  take_out(object);
  object.gone = true;
  ++object.bucket->gone;
  if (object.pins() > 0) return;
  evictable_blocks_ -= object.blocks;
  free_object(object);
}

void Engine::take_out(Object& object) {
  handled();
  --totals_.objects;
  if (--object.bucket->objects == 0) --used_buckets_;
  objects_.erase(objects_.iterator_to(object));
  objects_by_number_.erase(objects_by_number_.iterator_to(object));
  by_use_.remove(object);
}

Engine::Object* Engine::least_used(std::size_t& steps) {
  const std::size_t before = steps;
  auto* const oldest = static_cast<Object*>(by_use_.oldest(steps));
  handled(before - steps);
  return oldest;
}

void Engine::free_object(Object& object) {
  const bool is_small = object.layout->fragments.size() <= small.extents &&
                        object.blocks <= small.blocks && !object.poison;
  GivenBack freed;
  if (is_small && free_some(object, freed)) return destroy(object);
  leaving_.push_back({.object = &object, .pinned = false});
  leaving_blocks_ += object.blocks;
}

void Engine::destroy(Object& object) {
  Bucket& bucket = *object.bucket;
  delete &object;
  --bucket.gone;
  drop_if_unused(bucket);
}

bool Engine::free_some(const Object& object, GivenBack& freed) {
  return some_from_end(object.layout->fragments, freed, [&](const Extent& extent) {
    map_.discard(extent, object.bucket->colour);
    allocator_.release(extent);
  });
}

bool Engine::stamp_some(Leaving& leaving) {
  const Object& object = *leaving.object;
  // What was stored before a restart lay in other memory.
  if (!object.poison || object.epoch < first_epoch_) return true;
  for (std::uint64_t left = stamped_at_once; left > 0;) {
    if (leaving.fragment == object.layout->fragments.size()) return true;
    const auto& [offset, length] = object.layout->fragments[leaving.fragment];
    const auto count = std::min(left, length - leaving.stamped);
    handled();
    stamp(memory_->bytes().subspan(offset + leaving.stamped, count), *object.poison,
          leaving.stamped);
    left -= count;
    leaving.stamped += count;
    if (leaving.stamped < length) continue;
    ++leaving.fragment;
    leaving.stamped = 0;
  }
  return false;
}

bool Engine::free_some(std::shared_ptr<const Layout>& last) {
  if (leaving_.empty()) return false;
  Leaving& leaving = leaving_.front();
  Object& object = *leaving.object;
  if (!stamp_some(leaving)) return true;
  const auto free_before = allocator_.free_blocks();
  const bool all = free_some(object, leaving.freed);
  leaving_blocks_ -= allocator_.free_blocks() - free_before;
  if (all) {
    // Its leases may be known for longer than it has blocks.
    static const auto nowhere = std::make_shared<const Layout>();
    last = std::exchange(object.layout, nowhere);
    if (!leaving.pinned || by_use_.unpin(object)) destroy(object);
    leaving_.pop_front();
  }
  return !leaving_.empty();
}

void Engine::free_rest() {
  for (bool more = true; more;) {
    std::shared_ptr<const Layout> last;
    give_way();
    const Look look(*this);
    more = free_some(last);
    freeing_ = more;
  }
}

void Engine::condemn(Object& object) {
  by_use_.pin(object);  // until its leases have been ended
  by_use_.pin(object);  // until its blocks are free
  count_eviction(object);
  take_out(object);
  object.gone = true;
  object.condemned = true;
  ++object.bucket->gone;
  for_each_part(object, [&](const auto& part) { map_.unpin(part); });
  pinned_blocks_ -= object.blocks;
  leaving_blocks_ += std::exchange(object.blocks, 0);
  leaving_.push_back({.object = &object, .pinned = true});
  condemned_.push_back(&object);
}

void Engine::clear_condemned(Object& object) {
  std::size_t next = 0;
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    const std::size_t end = std::min(next + leases_at_once, leases_.size());
    for (; next < end && object.pins() > 1; ++next) {
      Lease& lease = leases_[next];
      handled();
      if (lease.object != &object) continue;
      if (!lease.dropped) drop(lease);
      free_up(lease);
    }
    more = next < leases_.size() && object.pins() > 1;
    if (!more) unpin(object);
  }
}

// --- Leases -------------------------------------------------------------------------------------

std::optional<LeaseGrant> Engine::try_acquire(std::string_view bucket, std::string_view key,
                                              Duration ttl, const GrantFault& fault,
                                              std::uint64_t connection, Changes* changes) {
  const auto id = LeaseId::generate();
  Critical critical(*this, changes);
  if (Object* object = find(bucket, key)) return grant(*object, id, ttl, fault, connection);
  return std::nullopt;
}

std::optional<LeaseGrant> Engine::acquire(std::string_view bucket, std::string_view key,
                                          Duration ttl, const GrantFault& fault,
                                          std::uint64_t connection, Changes* changes) {
  const auto id = LeaseId::generate();
  Critical critical(*this, changes);
  if (Object* object = find(bucket, key)) return grant(*object, id, ttl, fault, connection);
  ++totals_.lease_misses;
  return std::nullopt;
}

Engine::Lease& Engine::free_lease() {
  if (free_lease_ == nullptr) return leases_.emplace_back(*this);
  Lease& lease = *free_lease_;
  free_lease_ = lease.next_free;
  return lease;
}

LeaseGrant Engine::grant(Object& object, const LeaseId& id, Duration ttl, const GrantFault& fault,
                         std::uint64_t connection) {
  pin(object);
  Lease& lease = free_lease();
  lease.object = &object;
  lease.id = id;
  lease.connection = connection;
  lease.epoch = lease_epoch_;
  lease_by_id_.insert(lease);
  ++live_leases_;
  arm(lease, clock_.now() + fault.real_ttl.value_or(ttl));
  ++totals_.leases_granted;
  tell(lease, LeaseChange::What::granted);
  LeaseGrant granted{lease.id, object.layout};
  if (fault.poison) {
    object.poison = fault.poison;
    lease.takes_object = true;
  }
  if (fault.evict) {
    condemn(object);
  } else if (fault.forget) {
    end(lease, LeaseChange::What::dropped);
  }
  return granted;
}

void Engine::arm(Timer& timer, TimePoint due) {
  wheel_.arm(timer, due);
  armed_for_ = std::min(armed_for_, due);
}

void Engine::end(Lease& lease, LeaseChange::What how) {
  using enum LeaseChange::What;
  handled();
  totals_.leases_released += how == released;
  totals_.leases_expired += how == expired;
  totals_.leases_dropped += how == dropped;
  tell(lease, how);
  lease_by_id_.erase(lease_by_id_.iterator_to(lease));
  --live_leases_;
  free_up(lease);
}

void Engine::free_up(Lease& lease) {
  lease.disarm();
  Object& object = *std::exchange(lease.object, nullptr);
  lease.dropped = false;
  lease.takes_object = false;
  lease.next_free = std::exchange(free_lease_, &lease);
  unpin(object);
}

// Ends the lease for everybody, and leaves its pin to its TTL.
void Engine::drop(Lease& lease) {
  handled();
  ++totals_.leases_dropped;
  tell(lease, LeaseChange::What::dropped);
  lease_by_id_.erase(lease_by_id_.iterator_to(lease));
  --live_leases_;
  lease.dropped = true;
}

void Engine::tell(const Lease& lease, LeaseChange::What what) {
  if (!observer_) return;
  changes_.push_back({what, lease.connection, std::string(lease.object->bucket->name)});
}

void Engine::expire(Lease& lease) {
  if (lease.dropped) {
    handled();
    return free_up(lease);
  }
  Object& object = *lease.object;
  if (object.condemned) return end(lease, LeaseChange::What::dropped);
  const bool takes_object = lease.takes_object && object.pins() == 1 && !object.gone;
  end(lease, LeaseChange::What::expired);
  if (takes_object) evict(object);
}

// What began before the present epochs goes, so much at once and with the lock released in between.
// `keep_pins`: what a lease pins stays pinned until it would have expired.
void Engine::clear_old(bool keep_pins) {
  std::size_t next = 0;
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    const std::size_t end = std::min(next + leases_at_once / 2, leases_.size());
    for (; next < end; ++next) {
      Lease& lease = leases_[next];
      handled();
      if (lease.object == nullptr || lease.epoch == lease_epoch_) continue;
      Object& object = *lease.object;
      if (!lease.dropped) drop(lease);
      if (!object.gone && object.epoch != object_epoch_) drop(object);
      if (!keep_pins) free_up(lease);
    }
    more = next < leases_.size();
  }
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    for (std::size_t left = evictions_at_once; left > 0; --left) {
      Object* const oldest = least_used(left);
      if (left == 0) break;
      more = oldest != nullptr && oldest->epoch != object_epoch_;
      if (!more) break;
      drop(*oldest);
    }
  }
  free_rest();  // though another call is at it: whoever drops all finds all free
}

void Engine::clear_old_requests() {
  std::size_t next = 0;
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    const std::size_t end = std::min(next + waiters_at_once, waiters_.size());
    for (; next < end; ++next) {
      Waiter& waiter = waiters_[next];
      handled();
      if (waiter.queue == nullptr || waiter.run == run_) continue;
      decided_.emplace_back(remove(waiter), std::nullopt);
    }
    more = next < waiters_.size();
  }
  // A step for each of them: there are no more than connections, or shards.
  const auto end_first = [this](auto& rooms) {
    if (rooms.empty() || rooms.front().run_ == run_) return false;
    if (give_back_some(rooms.front())) forget(rooms.front());
    return true;
  };
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    more = end_first(puts_) || end_first(reservations_);
  }
}

bool Engine::release(const LeaseId& id, std::string* bucket, std::string* key, Changes* changes) {
  Critical critical(*this, changes);
  const auto found = lease_by_id_.find(id, IdHash{}, IdEqual{});
  if (found == lease_by_id_.end() || !is_live(*found)) {
    ++totals_.releases_unknown;
    return false;
  }
  if (found->due() <= clock_.now()) {
    found->disarm();
    expire(*found);
    ++totals_.releases_unknown;
    return false;
  }
  if (bucket != nullptr) *bucket = found->object->bucket->name;
  if (key != nullptr) *key = found->object->key;
  end(*found, LeaseChange::What::released);
  return true;
}

std::optional<std::pair<std::string, std::string>> Engine::leased_by(const LeaseId& id) const {
  const Look look(*this);
  const auto found = lease_by_id_.find(id, IdHash{}, IdEqual{});
  if (found == lease_by_id_.end() || !is_live(*found)) return std::nullopt;
  const Object& object = *found->object;
  return std::pair(std::string(object.bucket->name), object.key);
}

bool Engine::is_live(const Lease& lease) const {
  return lease.object != nullptr && !lease.dropped && lease.epoch == lease_epoch_ &&
         !lease.object->condemned;
}

// --- Waiters ------------------------------------------------------------------------------------

std::variant<LeaseGrant, Engine::WaiterId> Engine::acquire_or_wait(
    std::string_view bucket, std::string_view key, Duration ttl, Duration hold,
    GrantHandler handler, const GrantFault& fault, std::uint64_t connection) {
  Critical critical(*this);
  if (Object* object = find(bucket, key))
    return grant(*object, LeaseId::generate(), ttl, fault, connection);
  Bucket& in = bucket_named(bucket);
  WaiterQueue* queue = waiting_for({&in, key});
  if (queue == nullptr) {
    queue = new WaiterQueue(&in, key);
    queues_.insert(*queue);
    ++in.queues;
  }
  Waiter& waiter = free_waiter();
  waiter.queue = queue;
  waiter.run = run_;
  waiter.ttl = ttl;
  waiter.fault = fault;
  waiter.connection = connection;
  waiter.handler = std::move(handler);
  queue->waiters.push_back(waiter);
  ++live_waiters_;
  arm(waiter, clock_.now() + hold + fault.hold_longer);
  return waiter.id;
}

Engine::WaiterQueue* Engine::waiting_for(const Name& name) {
  const auto found = queues_.find(name, NameHash{}, NameEqual{});
  return found == queues_.end() ? nullptr : &*found;
}

Engine::Waiter& Engine::free_waiter() {
  Waiter* waiter = free_waiter_;
  if (waiter == nullptr) {
    const WaiterId place = waiters_.size();
    waiter = &waiters_.emplace_back(*this);
    waiter->id = place;
  } else {
    free_waiter_ = waiter->next_free;
  }
  waiter->id += WaiterId{1} << place_bits;
  return *waiter;
}

Engine::Waiter* Engine::waiter_of(WaiterId id) {
  const auto place = id & ((WaiterId{1} << place_bits) - 1);
  if (place >= waiters_.size()) return nullptr;
  Waiter& waiter = waiters_[place];
  return waiter.id == id && waiter.queue != nullptr ? &waiter : nullptr;
}

Engine::GrantHandler Engine::remove(Waiter& waiter) {
  handled();
  GrantHandler handler = std::exchange(waiter.handler, nullptr);
  waiter.disarm();
  waiter.fault = {};
  WaiterQueue& queue = *std::exchange(waiter.queue, nullptr);
  queue.waiters.erase(queue.waiters.iterator_to(waiter));
  waiter.next_free = std::exchange(free_waiter_, &waiter);
  --live_waiters_;
  if (queue.waiters.empty()) {
    Bucket& bucket = *queue.bucket;
    queues_.erase_and_dispose(queues_.iterator_to(queue), [](WaiterQueue* empty) { delete empty; });
    --bucket.queues;
    drop_if_unused(bucket);
  }
  return handler;
}

bool Engine::wake_some(Object& object) {
  WaiterQueue* const queue = waiting_for({object.bucket, object.key});
  if (queue == nullptr) return false;
  const auto all = queue->waiters.size();
  for (std::size_t left = std::min(all, waiters_at_once); left > 0; --left) {
    Waiter& waiter = queue->waiters.front();
    if (waiter.run != run_) {
      decided_.emplace_back(remove(waiter), std::nullopt);
      continue;
    }
    const auto lease =
        grant(object, LeaseId::generate(), waiter.ttl, waiter.fault, waiter.connection);
    decided_.emplace_back(remove(waiter), lease);
    if (object.gone) return false;  // evicted by a fault: nothing is left for the others
  }
  return all > waiters_at_once;
}

void Engine::end_wait(Waiter& waiter) {
  std::optional<LeaseGrant> lease;
  if (waiter.run == run_) {
    if (Object* object = find(waiter.queue->bucket->name, waiter.queue->key)) {
      // Only where storing does not wake.
      lease = grant(*object, LeaseId::generate(), waiter.ttl, waiter.fault, waiter.connection);
    } else {
      ++totals_.lease_misses;
    }
  }
  decided_.emplace_back(remove(waiter), std::move(lease));
}

bool Engine::drop_waiter(WaiterId id) {
  GrantHandler dropped;  // outlives the lock, since what it holds may call the engine as it goes
  Critical critical(*this);
  Waiter* const waiter = waiter_of(id);
  if (waiter == nullptr) return false;
  dropped = remove(*waiter);
  ++totals_.waiters_dropped;
  return true;
}

// --- Control ------------------------------------------------------------------------------------

void Engine::drop_leases() {
  {
    Critical critical(*this);
    ++lease_epoch_;
  }
  clear_old(true);
}

void Engine::drop_objects() {
  {
    Critical critical(*this);
    ++lease_epoch_;
    ++object_epoch_;
  }
  clear_old(true);
}

bool Engine::restart(const std::function<std::shared_ptr<Memory>()>& exchange) {
  std::shared_ptr<Memory> memory;  // outlives the lock: to unmap it takes long
  {
    Critical critical(*this);
    memory = exchange();
    if (!memory) return false;
    ++lease_epoch_;
    first_epoch_ = ++object_epoch_;
    ++run_;
    memory_.swap(memory);
  }
  clear_old_requests();
  clear_old(false);
  return true;
}

void Engine::replace_memory(std::shared_ptr<Memory> memory) {
  Critical critical(*this);
  memory_.swap(memory);
}

void Engine::reset_counters() {
  const Look look(*this);
  const auto objects = totals_.objects;
  totals_ = {};
  totals_.objects = objects;
}

// --- Time and figures ---------------------------------------------------------------------------

void Engine::observe_leases(std::function<void(const LeaseChange&)> observer) {
  const Look look(*this);
  observer_ = std::move(observer);
}

void Engine::set_alarm(std::function<void()> alarm) {
  const Look look(*this);
  alarm_ = std::move(alarm);
}

std::optional<TimePoint> Engine::next_due() const {
  const Look look(*this);
  return announced_due_ = wheel_.next_due();
}

void Engine::run_due() {
  const TimePoint now = clock_.now();
  for (bool more = true; more;) {
    give_way();
    Critical critical(*this);
    more = wheel_.run_due(now, timers_at_once);
    announced_due_.reset();
  }
}

Statistics Engine::statistics() const {
  const Look look(*this);
  Statistics now = totals_;
  now.buckets = used_buckets_;
  now.live_leases = live_leases_;
  now.waiters = live_waiters_;
  now.puts_in_flight = puts_.size();
  now.capacity_bytes = capacity_;
  now.used_bytes = capacity_ - allocator_.free_blocks() * block_size_;
  now.pinned_bytes = pinned_blocks_ * block_size_;
  now.evictable_bytes = evictable_blocks_ * block_size_;
  return now;
}

ObjectState Engine::shown(const Object& object) const {
  ObjectState state;
  state.bucket = object.bucket->name;
  state.key = object.key;
  state.pins = object.pins();
  state.last_use = object.last_use();
  return state;
}

void Engine::list(const std::vector<std::shared_ptr<const Layout>>& layouts,
                  std::vector<ObjectState>& objects) {
  for (std::size_t i = 0; i < objects.size(); ++i) {
    for (const auto& [offset, length] : layouts[i]->fragments) {
      objects[i].fragments.push_back({offset, length});
      objects[i].bytes += length;
    }
  }
}

LeaseState Engine::shown(const Lease& lease, TimePoint now) const {
  return {std::string(lease.id.text()), std::string(lease.object->bucket->name), lease.object->key,
          std::max(lease.due() - now, Duration::zero())};
}

WaiterState Engine::shown(const Waiter& waiter, TimePoint now) const {
  return {waiter.queue->bucket->name, waiter.queue->key,
          std::max(waiter.due() - now, Duration::zero())};
}

ObjectPage Engine::objects(std::uint64_t cursor, std::size_t most) const {
  most = std::clamp<std::size_t>(most, 1, listed_at_once);
  std::vector<std::shared_ptr<const Layout>> layouts;
  ObjectPage page;
  std::optional<Look> look(std::in_place, *this);
  auto object = objects_by_number_.upper_bound(cursor);
  // Those of a former epoch are gone; so many are looked at, whatever they are.
  std::uint64_t last = cursor;
  std::size_t left = listed_at_once;  // fragments
  for (; object != objects_by_number_.end() && most > 0 && left > 0; ++object, --most) {
    handled();
    left -= std::min(left, std::max<std::size_t>(object->layout->fragments.size(), 1));
    last = object->number;
    if (object->epoch != object_epoch_) continue;
    page.objects.push_back(shown(*object));
    layouts.push_back(object->layout);
  }
  if (object != objects_by_number_.end()) page.next = last;
  look.reset();
  list(layouts, page.objects);
  return page;
}

LeasePage Engine::leases(std::uint64_t cursor, std::size_t most) const {
  most = std::clamp<std::size_t>(most, 1, listed_at_once);
  const Look look(*this);
  LeasePage page;
  const auto now = clock_.now();
  const auto end = std::min<std::uint64_t>(cursor + most, leases_.size());
  for (; cursor < end; ++cursor) {
    const Lease& lease = leases_[cursor];
    handled();
    if (is_live(lease)) page.leases.push_back(shown(lease, now));
  }
  if (end < leases_.size()) page.next = end;
  return page;
}

WaiterPage Engine::waiters(std::uint64_t cursor, std::size_t most) const {
  most = std::clamp<std::size_t>(most, 1, listed_at_once);
  const Look look(*this);
  WaiterPage page;
  const auto now = clock_.now();
  const auto end = std::min<std::uint64_t>(cursor + most, waiters_.size());
  for (; cursor < end; ++cursor) {
    const Waiter& waiter = waiters_[cursor];
    handled();
    if (waiter.queue != nullptr && waiter.run == run_) page.waiters.push_back(shown(waiter, now));
  }
  if (end < waiters_.size()) page.next = end;
  return page;
}

BlockPage Engine::blocks(std::uint64_t first, std::size_t most) const {
  most = std::clamp<std::size_t>(most, 1, listed_at_once);
  std::vector<std::shared_ptr<const Layout>> layouts;
  BlockPage page;
  std::optional<Look> look(std::in_place, *this);
  page.blocks = map_.blocks();
  page.next_block = std::min(first, page.blocks);
  Portion left{.extents = listed_at_once, .blocks = room_at_once.blocks};
  while (page.next_block < page.blocks && page.runs.size() < most && allows_more(left)) {
    const std::uint64_t begin = page.next_block;
    const BlockHolder* const holder = map_.holder(begin);
    BlockRun run;
    run.first_block = begin;
    run.owner = holder == nullptr ? BlockRun::Owner::free : holder->kind;
    std::uint64_t end = begin + 1;
    if (run.owner == BlockRun::Owner::free) {
      end = allocator_.end_of_free(begin);
    } else {
      const auto limit = std::min(page.blocks, begin + left.blocks);
      while (end < limit && map_.holder(end) == holder) ++end;
      page.cut = end == limit && end < page.blocks && map_.holder(end) == holder;
      left.blocks -= end - begin;
      handled((end - begin) / blocks_handled_as_one);
    }
    std::size_t listed = 1;
    if (run.owner == BlockRun::Owner::object) {
      const auto& object = *static_cast<const Object*>(holder->who);
      run.bucket = object.bucket->name;
      run.key = object.key;
      // One that was dropped has its blocks until nothing pins them, and is not an object any more.
      const bool there = !object.gone && object.epoch == object_epoch_;
      // Not always where the run begins: a later fragment may lie in front of the first one.
      const auto first_of_object = object.layout->fragments.front().offset / block_size_;
      if (there && begin <= first_of_object && first_of_object < end) {
        page.objects.push_back(shown(object));
        layouts.push_back(object.layout);
        listed += object.layout->fragments.size();
      }
    } else if (run.owner == BlockRun::Owner::put) {
      const auto& put = static_cast<const Put&>(*static_cast<const Reservation*>(holder->who));
      run.bucket = put.bucket_;
      run.key = put.key_;
    }
    handled();
    left.extents -= std::min(left.extents, listed);
    run.blocks = end - begin;
    page.next_block = end;
    page.runs.push_back(std::move(run));
  }
  look.reset();
  list(layouts, page.objects);
  return page;
}

MapState Engine::map() const {
  const Look look(*this);
  return map_.state();
}

LiveState Engine::live(std::size_t most) const {
  const auto keep_first = [most](auto& all) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
    std::ranges::partial_sort(all, end, {}, due_of);
    all.erase(end, all.end());
  };
  // By place and id, which tell whether a lease found in one step is there in the last one.
  struct Found {
    TimePoint due;
    std::size_t place;
    LeaseId id;
  };
  std::vector<Found> leases;
  std::size_t next = 0;
  for (bool more = true; more;) {
    {
      const Look look(*this);
      const std::size_t end = std::min(next + leases_at_once, leases_.size());
      handled(end - next);
      for (; next < end; ++next) {
        const Lease& lease = leases_[next];
        if (is_live(lease)) leases.push_back({lease.due(), next, lease.id});
      }
      more = next < leases_.size();
    }
    // Not after each step, which would sort what was sorted before.
    if (!more || leases.size() > most + 8 * leases_at_once) keep_first(leases);
  }
  LiveState live;
  for (std::size_t first = 0; first < leases.size(); first += leases_at_once) {
    const Look look(*this);
    const auto now = clock_.now();
    const std::size_t end = std::min(first + leases_at_once, leases.size());
    handled(end - first);
    for (std::size_t i = first; i < end; ++i) {
      const Lease& lease = leases_[leases[i].place];
      if (is_live(lease) && lease.id == leases[i].id) live.leases.push_back(shown(lease, now));
    }
  }
  std::uint64_t cursor = 0;
  do {
    WaiterPage page = waiters(cursor, leases_at_once);
    cursor = page.next;
    std::ranges::move(page.waiters, std::back_inserter(live.waiters));
    if (cursor == 0 || live.waiters.size() > most + 8 * leases_at_once) keep_first(live.waiters);
  } while (cursor != 0);
  return live;
}

std::size_t Engine::longest_hold() const {
  const Look look(*this);
  return longest_hold_;
}

State Engine::state() const {
  State state;
  state.capacity = capacity_;
  state.block_size = block_size_;
  // All pages of one kind, one after the other.
  const auto collect = [](auto page_at, auto items, auto& all) {
    std::uint64_t cursor = 0;
    do {
      auto page = page_at(cursor);
      cursor = page.next;
      std::ranges::move(page.*items, std::back_inserter(all));
    } while (cursor != 0);
  };
  collect([this](auto cursor) { return objects(cursor, listed_at_once); }, &ObjectPage::objects,
          state.objects);
  collect([this](auto cursor) { return leases(cursor, leases_at_once); }, &LeasePage::leases,
          state.leases);
  collect([this](auto cursor) { return waiters(cursor, leases_at_once); }, &WaiterPage::waiters,
          state.waiters);
  BlockPage page;
  for (bool goes_on = false; goes_on || page.blocks == 0 || page.next_block < page.blocks;
       goes_on = page.cut) {
    page = blocks(page.next_block, leases_at_once);
    if (page.runs.empty()) break;
    auto next = page.runs.begin();
    if (goes_on) {
      state.blocks.back().blocks += next->blocks;
      ++next;
    }
    std::move(next, page.runs.end(), std::back_inserter(state.blocks));
  }
  std::set<std::string> buckets;
  for (const ObjectState& object : state.objects) buckets.insert(object.bucket);
  state.buckets.assign(buckets.begin(), buckets.end());
  std::ranges::sort(state.objects, {}, &ObjectState::last_use);
  std::ranges::sort(state.leases, {}, &LeaseState::time_left);
  std::ranges::sort(state.waiters, {}, &WaiterState::time_left);
  return state;
}

}  // namespace hyperpod::emulator::core
