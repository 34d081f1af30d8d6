// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "hyperpod/base/assertions.h"

namespace hyperpod::emulator::core {
namespace {

// Shorter than the 28 bytes of a chunk header, so that the header straddles two fragments.
constexpr std::uint64_t worst_case_head = 13;

// What is done at once under the lock, so that it is held for tenths of a millisecond.
constexpr std::size_t evictions_at_once = 256;
constexpr std::size_t leases_at_once = 512;
constexpr std::size_t listed_at_once = 1024;

constexpr std::size_t least_object_slots = 1024;
constexpr std::size_t most_object_slots = 1u << 20;
constexpr std::size_t lease_slots = 1u << 16;

std::size_t object_slots(std::uint64_t blocks) {
  return std::bit_ceil(std::clamp<std::uint64_t>(blocks, least_object_slots, most_object_slots));
}

/// Fills `bytes` with `text`, again and again.
void stamp(std::span<std::byte> bytes, std::string_view text) {
  for (std::size_t done = 0; done < bytes.size(); done += text.size()) {
    std::memcpy(bytes.data() + done, text.data(), std::min(text.size(), bytes.size() - done));
  }
}

}  // namespace

class Engine::Look {
 public:
  explicit Look(const Engine& engine) : engine_(engine), lock_(engine.mutex_) {
    engine_.handled_ = 0;
  }
  ~Look() { engine_.longest_hold_ = std::max(engine_.longest_hold_, engine_.handled_); }
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

 private:
  const Engine& engine_;
  std::lock_guard<std::mutex> lock_;
};

class Engine::Critical {
 public:
  explicit Critical(Engine& engine) : engine_(engine), lock_(engine.mutex_) {
    engine_.handled_ = 0;
  }

  ~Critical() {
    // Memory of the last time is used again: nearly every call makes one change.
    thread_local std::vector<LeaseChange> spare;
    auto changes = std::move(spare);
    changes.clear();
    changes.swap(engine_.changes_);
    const auto decided = std::exchange(engine_.decided_, {});
    const auto condemned = std::exchange(engine_.condemned_, {});
    engine_.longest_hold_ = std::max(engine_.longest_hold_, engine_.handled_);
    const auto alarm = alarm_is_due() ? engine_.alarm_ : nullptr;
    lock_.unlock();
    for (const LeaseChange& change : changes) engine_.observer_(change);
    for (Object* const object : condemned) engine_.clear_condemned(*object);
    if (alarm) alarm();
    for (const auto& [handler, grant] : decided) handler(grant);
    spare = std::move(changes);
  }

 private:
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
  std::unique_lock<std::mutex> lock_;
};

// --- Puts ---------------------------------------------------------------------------------------

Reservation::Reservation(Engine& engine, bool of_put, std::optional<std::uint64_t> size)
    : engine_(engine), of_put_(of_put), memory_(engine.memory_), size_(size) {}

Reservation::~Reservation() { engine_.abort(*this); }

Put::Put(Engine& engine, std::string_view bucket, std::string_view key,
         std::optional<std::uint64_t> size)
    : Reservation(engine, true, size), bucket_(bucket), key_(key) {}

// Before bucket_ and key_ go, which others look at while it is in flight.
Put::~Put() { engine_.abort(*this); }

std::span<std::byte> Reservation::window() const {
  if (current_ == fragments_.size()) return {};
  const Fragment& fragment = fragments_[current_];
  return memory_->bytes().subspan(fragment.offset + filled_in_current_,
                                  fragment.length - filled_in_current_);
}

void Reservation::filled(std::uint64_t count) {
  if (count == 0) return;  // also legal where there is no fragment left to count in
  HYPERPOD_REQUIRE(current_ < fragments_.size() &&
                   count <= fragments_[current_].length - filled_in_current_);
  written_ += count;
  filled_in_current_ += count;
  if (filled_in_current_ == fragments_[current_].length) {
    ++current_;
    filled_in_current_ = 0;
  }
}

tl::expected<void, PutRefusal> Reservation::extend() { return engine_.extend(*this); }

bool Reservation::seal() { return engine_.seal(*this); }

std::vector<std::span<const std::byte>> Reservation::bytes() const {
  std::vector<std::span<const std::byte>> pieces;
  std::uint64_t left = written_;
  for (const Fragment& fragment : fragments_) {
    const std::uint64_t length = std::min(left, fragment.length);
    if (length == 0) break;
    pieces.push_back(memory_->bytes().subspan(fragment.offset, length));
    left -= length;
  }
  return pieces;
}

PutOutcome Put::commit() { return engine_.commit(*this); }

tl::expected<std::unique_ptr<Put>, PutRefusal> Engine::begin_put(
    std::string_view bucket, std::string_view key, std::optional<std::uint64_t> size) {
  std::unique_ptr<Put> put;  // before the lock: a refused Put is destroyed after the lock is gone
  const auto in_all = blocks_for(size.value_or(1));
  std::optional<tl::expected<void, PutRefusal>> reserved;
  while (!reserved) {
    Critical critical(*this);
    const auto refuse = [this](PutRefusal why) {
      ++(why == PutRefusal::exists ? totals_.puts_existing : totals_.puts_refused);
      return tl::make_unexpected(why);
    };
    if (!put) {
      put.reset(new Put(*this, bucket, key, size));
      if (size == 0) return refuse(PutRefusal::empty);
      if (size > capacity_) return refuse(PutRefusal::too_large);
      if (find(bucket, key) != nullptr) return refuse(PutRefusal::exists);
      if (behaviour_.put_race == PutRace::first_begun && put_in_flight(bucket, key)) {
        return refuse(PutRefusal::exists);
      }
      puts_.push_back(*put);
    }
    reserved = try_reserve(*put, first_step(in_all), in_all);
    if (reserved && !*reserved) {
      if (put->is_linked()) forget(*put);
      return refuse(reserved->error());
    }
    if (reserved && splits_header(size.value_or(1)))
      put->fragments_.front().length = worst_case_head;
  }
  return put;
}

tl::expected<std::unique_ptr<Reservation>, PutRefusal> Engine::reserve_room(
    std::optional<std::uint64_t> size) {
  HYPERPOD_REQUIRE(size != 0);
  if (size > capacity_) return tl::make_unexpected(PutRefusal::too_large);
  std::unique_ptr<Reservation> room;  // before the lock, as in begin_put
  const auto in_all = blocks_for(size.value_or(1));
  std::optional<tl::expected<void, PutRefusal>> reserved;
  while (!reserved) {
    Critical critical(*this);
    if (!room) {
      room.reset(new Reservation(*this, false, size));
      reservations_.push_back(*room);
    }
    reserved = try_reserve(*room, first_step(in_all), in_all);
    if (reserved && !*reserved) {
      if (room->is_linked()) forget(*room);
      return tl::make_unexpected(reserved->error());
    }
    if (reserved && splits_header(size.value_or(1))) {
      room->fragments_.front().length = worst_case_head;
    }
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

std::optional<tl::expected<void, PutRefusal>> Engine::try_reserve(Reservation& room,
                                                                  std::uint64_t blocks,
                                                                  std::uint64_t in_all) {
  if (!room.is_linked()) return tl::make_unexpected(PutRefusal::no_room);  // restarted meanwhile
  const auto needed = in_all - std::min(in_all, room.blocks_);
  if (allocator_.free_blocks() < needed) {
    if (wheel_.run_due(clock_.now(), leases_at_once)) return std::nullopt;  // what pins nothing
    if (allocator_.free_blocks() + evictable_blocks_ < needed) {
      return tl::make_unexpected(PutRefusal::no_room);
    }
  }
  if (allocator_.free_blocks() < blocks) {
    // Blocks of objects are backed. What else is needed is backed first, so that nothing is evicted
    // in vain.
    if (!back(allocator_.free_extents(), *room.memory_)) {
      return tl::make_unexpected(PutRefusal::no_memory);
    }
    for (std::size_t left = evictions_at_once; allocator_.free_blocks() < blocks; --left) {
      Object* const oldest = left > 0 ? least_used(left) : nullptr;
      if (oldest == nullptr || left == 0) return std::nullopt;
      evict(*oldest);
    }
  }
  const Extents extents = take_blocks(room, blocks, in_all);
  if (!back(extents, *room.memory_)) {
    for (const Extent& extent : extents) allocator_.release(extent);
    return tl::make_unexpected(PutRefusal::no_memory);
  }
  add_room(room, extents);
  room.blocks_ += blocks;
  return tl::expected<void, PutRefusal>();
}

Extents Engine::take_blocks(const Reservation& room, std::uint64_t blocks, std::uint64_t in_all) {
  if (placement_ != Placement::contiguous) return allocator_.allocate(blocks, placement_);
  if (room.fragments_.empty()) return allocator_.allocate_first(blocks, in_all);
  const Fragment& last = room.fragments_.back();
  const auto beyond = (last.offset + last.length) / block_size_;
  const auto beside = allocator_.take_at(beyond, blocks);
  Extents extents;
  if (beside > 0) extents.push_back({beyond, beside});
  if (beside < blocks) {
    const auto rest = allocator_.allocate(blocks - beside, placement_);
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
  const auto kind = room.of_put_ ? BlockRun::Owner::put : BlockRun::Owner::checkpoint;
  for (const Extent& extent : extents) {
    map_.reserve(extent, {kind, &room});
    const Fragment added{extent.first * block_size_, extent.count * block_size_};
    if (placement_ == Placement::contiguous && !room.fragments_.empty()) {
      Fragment& last = room.fragments_.back();
      if (last.offset + last.length == added.offset) {
        // A full last fragment that grows is the one being written again.
        if (room.current_ == room.fragments_.size()) {
          --room.current_;
          room.filled_in_current_ = last.length;
        }
        last.length += added.length;
        continue;
      }
    }
    room.fragments_.push_back(added);
  }
}

tl::expected<void, PutRefusal> Engine::extend(Reservation& room) {
  while (true) {
    Critical critical(*this);
    if (!room.is_linked()) return tl::make_unexpected(PutRefusal::no_room);
    std::optional<tl::expected<void, PutRefusal>> reserved;
    if (room.written_ >= capacity_) {
      reserved = tl::make_unexpected(PutRefusal::too_large);
    } else {
      const auto in_all = room.size_ ? blocks_for(*room.size_) : room.blocks_ + 1;
      const auto more = std::min(in_all - std::min(in_all, room.blocks_), step_blocks_);
      reserved = try_reserve(room, std::max<std::uint64_t>(more, 1), in_all);
    }
    if (!reserved) continue;
    if (*reserved) return {};
    if (room.is_linked()) forget(room);
    free_blocks(room.fragments_);
    room.fragments_.clear();
    totals_.puts_refused += room.of_put_;
    return tl::make_unexpected(reserved->error());
  }
}

PutOutcome Engine::commit(Put& put) {
  Critical critical(*this);
  if (!put.is_linked()) return PutOutcome::lost;
  forget(put);
  if (put.written_ == 0) {
    free_blocks(std::exchange(put.fragments_, {}));
    ++totals_.puts_refused;
    return PutOutcome::empty;
  }
  if (find(put.bucket_, put.key_) != nullptr) {
    free_blocks(put.fragments_);
    put.fragments_.clear();
    ++totals_.puts_existing;
    return PutOutcome::exists;
  }
  free_blocks(trim(put));

  Bucket& bucket = bucket_named(put.bucket_);
  auto* const object = new Object(&bucket, put.key_);
  objects_.insert(*object);
  object->number = ++stored_;
  objects_by_number_.insert(objects_by_number_.end(), *object);
  if (bucket.objects++ == 0) ++used_buckets_;
  object->epoch = object_epoch_;
  object->fragments = std::exchange(put.fragments_, {});
  if (bucket.colour == 0) bucket.colour = map_.claim_colour(bucket.name);
  for (const Fragment& fragment : object->fragments) {
    object->blocks += whole_blocks(fragment.length);
    map_.store(extent_of(fragment), object, bucket.colour);
  }
  by_use_.add(*object);
  evictable_blocks_ += object->blocks;
  ++totals_.puts_stored;
  ++totals_.objects;
  if (behaviour_.wake_waiters) wake(bucket, *object);
  return PutOutcome::stored;
}

Fragments Engine::trim(Reservation& room) {
  Fragments unused;
  if (room.filled_in_current_ > 0) {
    Fragment& last = room.fragments_[room.current_++];
    const auto kept = whole_blocks(room.filled_in_current_) * block_size_;
    if (kept < last.length) unused.push_back({last.offset + kept, last.length - kept});
    last.length = room.filled_in_current_;
  }
  const auto end = room.fragments_.begin() + static_cast<std::ptrdiff_t>(room.current_);
  unused.insert(unused.end(), end, room.fragments_.end());
  room.fragments_.erase(end, room.fragments_.end());
  return unused;
}

void Engine::abort(Reservation& room) {
  Critical critical(*this);
  if (!room.is_linked()) return;
  forget(room);
  free_blocks(room.fragments_);
  totals_.puts_aborted += room.of_put_;
}

void Engine::forget(Reservation& room) {
  if (room.of_put_) {
    puts_.erase(puts_.iterator_to(static_cast<Put&>(room)));
  } else {
    reservations_.erase(reservations_.iterator_to(room));
  }
}

bool Engine::seal(Reservation& room) {
  Critical critical(*this);
  if (!room.is_linked()) return false;
  free_blocks(trim(room));
  return true;
}

bool Engine::put_in_flight(std::string_view bucket, std::string_view key) const {
  return std::any_of(puts_.begin(), puts_.end(),
                     [&](const Put& put) { return put.bucket_ == bucket && put.key_ == key; });
}

// Of a reservation.
void Engine::free_blocks(const Fragments& fragments) {
  for (const Fragment& fragment : fragments) {
    map_.give_back(extent_of(fragment));
    allocator_.release(extent_of(fragment));
  }
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
      lease_by_id_(Leases::bucket_traits(lease_slots_.data(), lease_slots_.size())) {}

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
}

std::size_t Engine::NameHash::operator()(const Name& name) const noexcept {
  const auto bucket = reinterpret_cast<std::uintptr_t>(name.bucket) >> 4;
  return std::hash<std::string_view>{}(name.key) ^ (bucket * 0x9E3779B97F4A7C15ull);
}

Engine::Bucket* Engine::find_bucket(std::string_view name) {
  if (last_bucket_ != nullptr && last_bucket_->name == name) return last_bucket_;
  const auto found = buckets_.find(name);
  if (found == buckets_.end()) return nullptr;
  return last_bucket_ = &found->second;
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
  const auto made = buckets_.try_emplace(std::string(name)).first;
  made->second.name = made->first;
  return *(last_bucket_ = &made->second);
}

void Engine::drop_if_unused(Bucket& bucket) {
  if (bucket.objects > 0 || bucket.gone > 0) return;
  map_.return_colour(std::exchange(bucket.colour, 0));
  if (!bucket.waiting.empty()) return;
  if (last_bucket_ == &bucket) last_bucket_ = nullptr;
  buckets_.erase(buckets_.find(bucket.name));
}

void Engine::pin(Object& object) {
  if (!by_use_.pin(object)) return;
  evictable_blocks_ -= object.blocks;
  pinned_blocks_ += object.blocks;
  for (const Fragment& fragment : object.fragments) map_.pin(extent_of(fragment));
}

void Engine::unpin(Object& object) {
  if (!by_use_.unpin(object)) return;
  pinned_blocks_ -= object.blocks;
  for (const Fragment& fragment : object.fragments) map_.unpin(extent_of(fragment));
  if (object.gone) {
    Bucket& bucket = *object.bucket;
    free_object(object);
    --bucket.gone;
    return drop_if_unused(bucket);
  }
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
  for (const Fragment& fragment : object.fragments) map_.count_eviction(extent_of(fragment));
}

void Engine::drop(Object& object) {
  Bucket& bucket = *object.bucket;
  take_out(object);
  if (object.pins() > 0) {
    object.gone = true;
    ++bucket.gone;
    return;
  }
  evictable_blocks_ -= object.blocks;
  free_object(object);
  drop_if_unused(bucket);
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
  free_blocks(object);
  delete &object;
}

void Engine::free_blocks(Object& object) {
  if (object.poison) {
    for (const Fragment& fragment : object.fragments) {
      stamp(memory_->bytes().subspan(fragment.offset, fragment.length), *object.poison);
    }
  }
  for (const Fragment& fragment : object.fragments) {
    map_.discard(extent_of(fragment), object.bucket->colour);
    allocator_.release(extent_of(fragment));
  }
}

void Engine::condemn(Object& object) {
  by_use_.pin(object);  // until its leases have been ended
  count_eviction(object);
  take_out(object);
  object.gone = true;
  object.condemned = true;
  ++object.bucket->gone;
  for (const Fragment& fragment : object.fragments) map_.unpin(extent_of(fragment));
  pinned_blocks_ -= object.blocks;
  free_blocks(object);
  object.fragments.clear();
  object.blocks = 0;
  condemned_.push_back(&object);
}

void Engine::clear_condemned(Object& object) {
  std::size_t next = 0;
  for (bool more = true; more;) {
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
                                              std::uint64_t connection) {
  Critical critical(*this);
  if (Object* object = find(bucket, key)) return grant(*object, ttl, fault, connection);
  return std::nullopt;
}

std::optional<LeaseGrant> Engine::acquire(std::string_view bucket, std::string_view key,
                                          Duration ttl, const GrantFault& fault,
                                          std::uint64_t connection) {
  Critical critical(*this);
  if (Object* object = find(bucket, key)) return grant(*object, ttl, fault, connection);
  ++totals_.lease_misses;
  return std::nullopt;
}

Engine::Lease& Engine::free_lease() {
  if (free_leases_.empty()) return leases_.emplace_back(*this);
  Lease& lease = *free_leases_.back();
  free_leases_.pop_back();
  return lease;
}

LeaseGrant Engine::grant(Object& object, Duration ttl, const GrantFault& fault,
                         std::uint64_t connection) {
  pin(object);
  Lease& lease = free_lease();
  lease.object = &object;
  lease.id = LeaseId::generate();
  lease.connection = connection;
  lease.epoch = lease_epoch_;
  lease_by_id_.insert(lease);
  ++live_leases_;
  arm(lease, clock_.now() + fault.real_ttl.value_or(ttl));
  ++totals_.leases_granted;
  tell(lease, LeaseChange::What::granted);
  LeaseGrant granted{lease.id, object.fragments};
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
  free_leases_.push_back(&lease);
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
  for (std::size_t next = 0, end = leases_at_once; next < end; end += leases_at_once) {
    Critical critical(*this);
    for (; next < std::min(end, leases_.size()); ++next) {
      Lease& lease = leases_[next];
      handled();
      if (lease.object == nullptr || lease.epoch == lease_epoch_) continue;
      Object& object = *lease.object;
      if (!lease.dropped) drop(lease);
      if (!object.gone && object.epoch != object_epoch_) drop(object);
      if (!keep_pins) free_up(lease);
    }
    if (next == leases_.size()) break;
  }
  for (bool more = true; more;) {
    Critical critical(*this);
    for (std::size_t left = evictions_at_once; left > 0; --left) {
      Object* const oldest = least_used(left);
      if (left == 0) break;
      more = oldest != nullptr && oldest->epoch != object_epoch_;
      if (!more) break;
      drop(*oldest);
    }
  }
}

bool Engine::release(const LeaseId& id, std::string* bucket, std::string* key) {
  Critical critical(*this);
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
  if (Object* object = find(bucket, key)) return grant(*object, ttl, fault, connection);
  const WaiterId id = ++last_waiter_;
  Waiter& waiter = waiters_.try_emplace(id, *this).first->second;
  waiter.id = id;
  waiter.bucket = &bucket_named(bucket);
  waiter.key = key;
  waiter.ttl = ttl;
  waiter.fault = fault;
  waiter.connection = connection;
  waiter.handler = std::move(handler);
  waiter.bucket->waiting[waiter.key].push_back(waiter);
  arm(waiter, clock_.now() + hold + fault.hold_longer);
  return id;
}

Engine::GrantHandler Engine::remove(Waiter& waiter) {
  handled();
  GrantHandler handler = std::move(waiter.handler);
  Bucket& bucket = *waiter.bucket;
  const auto queue = bucket.waiting.find(waiter.key);
  queue->second.erase(queue->second.iterator_to(waiter));
  if (queue->second.empty()) bucket.waiting.erase(queue);
  waiters_.erase(waiter.id);
  drop_if_unused(bucket);
  return handler;
}

void Engine::wake(Bucket& bucket, Object& object) {
  const auto queue = bucket.waiting.find(object.key);
  if (queue == bucket.waiting.end()) return;
  for (auto left = queue->second.size(); left > 0; --left) {
    Waiter& waiter = queue->second.front();
    const bool evicts = waiter.fault.evict;
    const auto lease = grant(object, waiter.ttl, waiter.fault, waiter.connection);
    decided_.emplace_back(remove(waiter), lease);
    if (evicts) return;  // nothing is left for the others
  }
}

void Engine::end_wait(Waiter& waiter) {
  std::optional<LeaseGrant> lease;
  if (Object* object = find(waiter.bucket->name, waiter.key)) {
    // Only where storing does not wake.
    lease = grant(*object, waiter.ttl, waiter.fault, waiter.connection);
  } else {
    ++totals_.lease_misses;
  }
  decided_.emplace_back(remove(waiter), std::move(lease));
}

bool Engine::drop_waiter(WaiterId id) {
  GrantHandler dropped;  // outlives the lock, since what it holds may call the engine as it goes
  Critical critical(*this);
  const auto found = waiters_.find(id);
  if (found == waiters_.end()) return false;
  dropped = remove(found->second);
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
    ++object_epoch_;
    const auto take_back = [this](Reservation& room) {
      forget(room);
      free_blocks(room.fragments_);  // which its own thread may be reading
    };
    while (!puts_.empty()) take_back(puts_.front());
    while (!reservations_.empty()) take_back(reservations_.front());
    while (!waiters_.empty()) decided_.emplace_back(remove(waiters_.begin()->second), std::nullopt);
    memory_.swap(memory);
  }
  clear_old(false);
  return true;
}

void Engine::replace_memory(std::shared_ptr<Memory> memory) {
  Critical critical(*this);
  memory_.swap(memory);
}

void Engine::reset_counters() {
  std::lock_guard lock(mutex_);
  const auto objects = totals_.objects;
  totals_ = {};
  totals_.objects = objects;
}

// --- Time and figures ---------------------------------------------------------------------------

void Engine::observe_leases(std::function<void(const LeaseChange&)> observer) {
  std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

void Engine::set_alarm(std::function<void()> alarm) {
  std::lock_guard lock(mutex_);
  alarm_ = std::move(alarm);
}

std::optional<TimePoint> Engine::next_due() const {
  std::lock_guard lock(mutex_);
  return announced_due_ = wheel_.next_due();
}

void Engine::run_due() {
  const TimePoint now = clock_.now();
  for (bool more = true; more;) {
    Critical critical(*this);
    more = wheel_.run_due(now, leases_at_once);
    announced_due_.reset();
  }
}

Statistics Engine::statistics() const {
  const Look look(*this);
  Statistics now = totals_;
  now.buckets = used_buckets_;
  now.live_leases = live_leases_;
  now.waiters = waiters_.size();
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
  for (const auto& [offset, length] : object.fragments) {
    state.fragments.push_back({offset, length});
    state.bytes += length;
  }
  return state;
}

LeaseState Engine::shown(const Lease& lease, TimePoint now) const {
  return {std::string(lease.id.text()), std::string(lease.object->bucket->name), lease.object->key,
          std::max(lease.due() - now, Duration::zero())};
}

ObjectPage Engine::objects(std::uint64_t cursor, std::size_t most) const {
  most = std::clamp<std::size_t>(most, 1, listed_at_once);
  const Look look(*this);
  ObjectPage page;
  auto object = objects_by_number_.upper_bound(cursor);
  // Those of a former epoch are gone; so many are looked at, whatever they are.
  std::uint64_t last = cursor;
  for (; object != objects_by_number_.end() && most > 0; ++object, --most) {
    handled();
    last = object->number;
    if (object->epoch == object_epoch_) page.objects.push_back(shown(*object));
  }
  if (object != objects_by_number_.end()) page.next = last;
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

BlockPage Engine::blocks(std::uint64_t first, std::size_t most) const {
  const Look look(*this);
  BlockPage page;
  page.blocks = map_.blocks();
  page.next_block = std::min(first, page.blocks);
  while (page.next_block < page.blocks && page.runs.size() < most) {
    const std::uint64_t begin = page.next_block;
    const BlockHolder holder = map_.holder(begin);
    BlockRun run;
    run.first_block = begin;
    run.owner = holder.kind;
    std::uint64_t end = begin + 1;
    if (holder.kind == BlockRun::Owner::free) {
      end = allocator_.end_of_free(begin);
    } else {
      while (end < page.blocks && map_.holder(end) == holder) ++end;
    }
    if (holder.kind == BlockRun::Owner::object) {
      const auto& object = *static_cast<const Object*>(holder.who);
      run.bucket = object.bucket->name;
      run.key = object.key;
      // One that was dropped has its blocks until nothing pins them, and is not an object any more.
      const bool there = !object.gone && object.epoch == object_epoch_;
      if (there && begin == object.fragments.front().offset / block_size_) {
        page.objects.push_back(shown(object));
      }
    } else if (holder.kind == BlockRun::Owner::put) {
      const auto& put = static_cast<const Put&>(*static_cast<const Reservation*>(holder.who));
      run.bucket = put.bucket_;
      run.key = put.key_;
    }
    run.blocks = end - begin;
    page.next_block = end;
    page.runs.push_back(std::move(run));
  }
  return page;
}

MapState Engine::map() const {
  std::lock_guard lock(mutex_);
  return map_.state();
}

LiveState Engine::live(std::size_t most) const {
  const auto keep_first = [most](auto& all) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
    std::partial_sort(all.begin(), end, all.end());
    all.erase(end, all.end());
  };
  // By place and id, which tell whether a lease found in one step is there in the last one.
  struct Found {
    TimePoint due;
    std::size_t place;
    LeaseId id;
    bool operator<(const Found& other) const { return due < other.due; }
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
  std::vector<std::pair<TimePoint, const Waiter*>> waiters;
  const Look look(*this);
  // As many as there are requests held, which connections bound.
  handled(waiters_.size());
  for (const auto& [id, waiter] : waiters_) waiters.emplace_back(waiter.due(), &waiter);
  keep_first(waiters);
  const auto now = clock_.now();
  for (const auto& [due, waiter] : waiters) {
    live.waiters.push_back(
        {std::string(waiter->bucket->name), waiter->key, std::max(due - now, Duration::zero())});
  }
  return live;
}

std::size_t Engine::longest_hold() const {
  std::lock_guard lock(mutex_);
  return longest_hold_;
}

State Engine::state() const {
  const Look look(*this);
  handled(objects_.size() + lease_by_id_.size() + waiters_.size());
  State state;
  state.capacity = capacity_;
  state.block_size = block_size_;
  const auto add_run = [&](const Fragment& fragment, BlockRun::Owner owner, std::string_view bucket,
                           std::string_view key) {
    state.blocks.push_back({fragment.offset / block_size_, whole_blocks(fragment.length), owner,
                            std::string(bucket), std::string(key)});
  };
  for (const auto& [name, bucket] : buckets_) {
    if (bucket.objects > 0) state.buckets.push_back(name);
  }
  for (const Object& object : objects_) {
    state.objects.push_back(shown(object));
    for (const Fragment& fragment : object.fragments) {
      add_run(fragment, BlockRun::Owner::object, object.bucket->name, object.key);
    }
  }
  for (const Put& put : puts_) {
    for (const Fragment& fragment : put.fragments_) {
      add_run(fragment, BlockRun::Owner::put, put.bucket_, put.key_);
    }
  }
  for (const Reservation& room : reservations_) {
    for (const Fragment& fragment : room.fragments_) {
      add_run(fragment, BlockRun::Owner::checkpoint, {}, {});
    }
  }
  for (const Extent& free : allocator_.free_extents()) {
    state.blocks.push_back({free.first, free.count, BlockRun::Owner::free, {}, {}});
  }
  const auto now = clock_.now();
  const auto left = [now](TimePoint due) { return std::max(due - now, Duration::zero()); };
  for (const Lease& lease : lease_by_id_) {
    if (is_live(lease)) state.leases.push_back(shown(lease, now));
  }
  for (const auto& [id, waiter] : waiters_) {
    state.waiters.push_back({std::string(waiter.bucket->name), waiter.key, left(waiter.due())});
  }
  std::ranges::sort(state.buckets);
  std::ranges::sort(state.objects, {}, &ObjectState::last_use);
  std::ranges::sort(state.blocks, {}, &BlockRun::first_block);
  std::ranges::sort(state.leases, {}, &LeaseState::time_left);
  std::ranges::sort(state.waiters, {}, &WaiterState::time_left);
  return state;
}

}  // namespace hyperpod::emulator::core
