// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace hyperpod::emulator::core {
namespace {

// Shorter than the 28 bytes of a chunk header, so that the header straddles two fragments.
constexpr std::uint64_t worst_case_head = 13;

/// Fills `bytes` with `text`, again and again.
void stamp(std::span<std::byte> bytes, std::string_view text) {
  for (std::size_t done = 0; done < bytes.size(); done += text.size()) {
    std::memcpy(bytes.data() + done, text.data(), std::min(text.size(), bytes.size() - done));
  }
}

}  // namespace

class Engine::Critical {
 public:
  explicit Critical(Engine& engine) : engine_(engine), lock_(engine.mutex_) {}

  ~Critical() {
    const auto changes = std::exchange(engine_.changes_, {});
    const auto decided = std::exchange(engine_.decided_, {});
    const auto alarm = alarm_is_due() ? engine_.alarm_ : nullptr;
    lock_.unlock();
    for (const LeaseChange& change : changes) engine_.observer_(change);
    if (alarm) alarm();
    for (const auto& [handler, grant] : decided) handler(grant);
  }

 private:
  bool alarm_is_due() {
    if (!engine_.alarm_) return false;
    const auto due = engine_.wheel_.next_due();
    if (!due || (engine_.announced_due_ && *engine_.announced_due_ <= *due)) return false;
    engine_.announced_due_ = due;
    return true;
  }

  Engine& engine_;
  std::unique_lock<std::mutex> lock_;
};

// --- Puts ---------------------------------------------------------------------------------------

Reservation::Reservation(Engine& engine, bool of_put)
    : engine_(engine), of_put_(of_put), memory_(engine.memory_) {}

Reservation::~Reservation() { engine_.abort(*this); }

Put::Put(Engine& engine, std::string_view bucket, std::string_view key)
    : Reservation(engine, true), bucket_(bucket), key_(key) {}

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
  Critical critical(*this);
  put.reset(new Put(*this, bucket, key));
  const auto refuse = [this](PutRefusal why) {
    ++(why == PutRefusal::exists ? totals_.puts_existing : totals_.puts_refused);
    return tl::make_unexpected(why);
  };
  if (size == 0) return refuse(PutRefusal::empty);
  if (size > capacity_) return refuse(PutRefusal::too_large);
  if (find(bucket, key) != nullptr) return refuse(PutRefusal::exists);
  if (behaviour_.put_race == PutRace::first_begun && put_in_flight(bucket, key)) {
    return refuse(PutRefusal::exists);
  }
  const auto extents = reserve(blocks_for(size.value_or(1)), *memory_);
  if (!extents) return refuse(extents.error());
  add_room(*put, *extents);
  if (splits_header(size.value_or(1))) put->fragments_.front().length = worst_case_head;
  puts_.push_back(*put);
  return put;
}

tl::expected<std::unique_ptr<Reservation>, PutRefusal> Engine::reserve_room(
    std::optional<std::uint64_t> size) {
  std::unique_ptr<Reservation> room;  // before the lock, as in begin_put
  Critical critical(*this);
  room.reset(new Reservation(*this, false));
  if (size > capacity_) return tl::make_unexpected(PutRefusal::too_large);
  const auto extents = reserve(blocks_for(size.value_or(1)), *memory_);
  if (!extents) return tl::make_unexpected(extents.error());
  add_room(*room, *extents);
  if (splits_header(size.value_or(1))) room->fragments_.front().length = worst_case_head;
  reservations_.push_back(*room);
  return room;
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

tl::expected<Extents, PutRefusal> Engine::reserve(std::uint64_t blocks, Memory& memory) {
  if (allocator_.free_blocks() < blocks) {
    wheel_.run_due(clock_.now());  // what has expired pins nothing
    if (allocator_.free_blocks() + evictable_blocks_ < blocks) {
      return tl::make_unexpected(PutRefusal::no_room);
    }
    // Blocks of objects are backed. What else is needed is backed first, so that nothing is evicted
    // in vain.
    if (allocator_.free_blocks() < blocks && !back(allocator_.free_extents(), memory)) {
      return tl::make_unexpected(PutRefusal::no_memory);
    }
    while (allocator_.free_blocks() < blocks) evict(*evictable_.begin());
  }
  Extents extents = allocator_.allocate(blocks, placement_);
  if (back(extents, memory)) return extents;
  for (const Extent& extent : extents) allocator_.release(extent);
  return tl::make_unexpected(PutRefusal::no_memory);
}

bool Engine::back(const Extents& extents, Memory& memory) const {
  return std::ranges::all_of(extents, [&](const Extent& extent) {
    return memory.back(extent.first * block_size_, extent.count * block_size_);
  });
}

void Engine::add_room(Reservation& room, const Extents& extents) {
  for (const Extent& extent : extents) {
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
  Critical critical(*this);
  if (!room.is_linked()) return tl::make_unexpected(PutRefusal::no_room);
  auto refusal = PutRefusal::too_large;
  if (room.written_ < capacity_) {
    const auto extents = reserve(1, *room.memory_);
    if (extents) {
      add_room(room, *extents);
      return {};
    }
    refusal = extents.error();
  }
  forget(room);
  free_blocks(room.fragments_);
  room.fragments_.clear();
  totals_.puts_refused += room.of_put_;
  return tl::make_unexpected(refusal);
}

PutOutcome Engine::commit(Put& put) {
  Critical critical(*this);
  if (!put.is_linked()) return PutOutcome::lost;
  forget(put);
  if (find(put.bucket_, put.key_) != nullptr) {
    free_blocks(put.fragments_);
    put.fragments_.clear();
    ++totals_.puts_existing;
    return PutOutcome::exists;
  }
  free_blocks(trim(put));

  Bucket& bucket = bucket_named(put.bucket_);
  const auto entry = bucket.objects.try_emplace(put.key_).first;
  Object& object = entry->second;
  object.bucket = &bucket;
  object.key = entry->first;
  object.fragments = std::exchange(put.fragments_, {});
  for (const Fragment& fragment : object.fragments) object.blocks += whole_blocks(fragment.length);
  object.last_use = ++uses_;
  evictable_.insert(object);
  evictable_blocks_ += object.blocks;
  ++totals_.puts_stored;
  ++totals_.objects;
  if (behaviour_.wake_waiters) wake(bucket, object);
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

void Engine::free_blocks(const Fragments& fragments) {
  for (const Fragment& fragment : fragments) {
    allocator_.release({fragment.offset / block_size_, whole_blocks(fragment.length)});
  }
}

// --- Objects ------------------------------------------------------------------------------------

Engine::Engine(const Options& options, std::shared_ptr<Memory> memory, const Clock& clock)
    : capacity_(options.capacity),
      block_size_(options.block_size),
      placement_(options.placement),
      behaviour_(options.behaviour),
      clock_(clock),
      memory_(std::move(memory)),
      allocator_(options.capacity / options.block_size),
      wheel_(clock.now()) {}

Engine::Object* Engine::find(std::string_view bucket, std::string_view key) {
  const auto in = buckets_.find(bucket);
  if (in == buckets_.end()) return nullptr;
  const auto entry = in->second.objects.find(key);
  return entry == in->second.objects.end() ? nullptr : &entry->second;
}

Engine::Bucket& Engine::bucket_named(std::string_view name) {
  auto found = buckets_.find(name);
  if (found == buckets_.end()) {
    found = buckets_.try_emplace(std::string(name)).first;
    found->second.name = found->first;
  }
  return found->second;
}

void Engine::drop_if_unused(Bucket& bucket) {
  if (bucket.objects.empty() && bucket.waiting.empty()) buckets_.erase(buckets_.find(bucket.name));
}

void Engine::pin(Object& object) {
  if (object.pins++ == 0) {
    evictable_.erase(evictable_.iterator_to(object));
    evictable_blocks_ -= object.blocks;
    pinned_blocks_ += object.blocks;
  }
  object.last_use = ++uses_;  // orders the set, so it changes outside of it only
}

void Engine::unpin(Object& object) {
  if (--object.pins > 0) return;
  evictable_.insert(object);
  evictable_blocks_ += object.blocks;
  pinned_blocks_ -= object.blocks;
}

void Engine::evict(Object& object) {
  ++totals_.evictions;
  discard(object);
}

void Engine::discard(Object& object) {
  evictable_.erase(evictable_.iterator_to(object));
  evictable_blocks_ -= object.blocks;
  if (object.poison) {
    for (const Fragment& fragment : object.fragments) {
      stamp(memory_->bytes().subspan(fragment.offset, fragment.length), *object.poison);
    }
  }
  free_blocks(object.fragments);
  --totals_.objects;
  Bucket& bucket = *object.bucket;
  bucket.objects.erase(bucket.objects.find(object.key));
  drop_if_unused(bucket);
}

// --- Leases -------------------------------------------------------------------------------------

std::optional<LeaseGrant> Engine::acquire(std::string_view bucket, std::string_view key,
                                          Duration ttl, const GrantFault& fault,
                                          std::uint64_t connection) {
  Critical critical(*this);
  if (Object* object = find(bucket, key)) return grant(*object, ttl, fault, connection);
  ++totals_.lease_misses;
  return std::nullopt;
}

LeaseGrant Engine::grant(Object& object, Duration ttl, const GrantFault& fault,
                         std::uint64_t connection) {
  pin(object);
  const auto id = LeaseId::generate();
  Lease& lease = leases_.try_emplace(id, *this, object).first->second;
  lease.id = id;
  lease.connection = connection;
  wheel_.arm(lease, clock_.now() + fault.real_ttl.value_or(ttl));
  ++totals_.leases_granted;
  tell(lease, LeaseChange::What::granted);
  LeaseGrant granted{id, object.fragments};
  if (fault.poison) {
    object.poison = fault.poison;
    lease.takes_object = true;
  }
  if (fault.evict) {
    drop_leases_on(&object);
    evict(object);
  } else if (fault.forget) {
    end(lease, LeaseChange::What::dropped);
  }
  return granted;
}

void Engine::end(Lease& lease, LeaseChange::What how) {
  using enum LeaseChange::What;
  totals_.leases_released += how == released;
  totals_.leases_expired += how == expired;
  totals_.leases_dropped += how == dropped;
  tell(lease, how);
  unpin(lease.object);
  leases_.erase(leases_.find(lease.id));
}

void Engine::tell(const Lease& lease, LeaseChange::What what) {
  if (!observer_) return;
  changes_.push_back({what, lease.connection, std::string(lease.object.bucket->name)});
}

void Engine::expire(Lease& lease) {
  Object& object = lease.object;
  const bool takes_object = lease.takes_object;
  end(lease, LeaseChange::What::expired);
  if (takes_object && object.pins == 0) evict(object);
}

void Engine::drop_leases_on(const Object* object) {
  for (auto lease = leases_.begin(); lease != leases_.end();) {
    Lease& dropped = (lease++)->second;
    if (object != nullptr && &dropped.object != object) continue;
    end(dropped, LeaseChange::What::dropped);
  }
}

bool Engine::release(const LeaseId& id) {
  Critical critical(*this);
  const auto found = leases_.find(id);
  if (found == leases_.end()) {
    ++totals_.releases_unknown;
    return false;
  }
  if (found->second.due() <= clock_.now()) {
    expire(found->second);
    ++totals_.releases_unknown;
    return false;
  }
  end(found->second, LeaseChange::What::released);
  return true;
}

std::optional<std::pair<std::string, std::string>> Engine::leased_by(const LeaseId& id) const {
  std::lock_guard lock(mutex_);
  const auto found = leases_.find(id);
  if (found == leases_.end()) return std::nullopt;
  const Object& object = found->second.object;
  return std::pair(std::string(object.bucket->name), std::string(object.key));
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
  wheel_.arm(waiter, clock_.now() + hold + fault.hold_longer);
  return id;
}

Engine::GrantHandler Engine::remove(Waiter& waiter) {
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
  Critical critical(*this);
  drop_leases_on(nullptr);
}

void Engine::drop_objects() {
  Critical critical(*this);
  drop_leases_on(nullptr);
  while (!evictable_.empty()) discard(*evictable_.begin());
}

void Engine::restart(const Renew& renew) {
  Critical critical(*this);
  drop_leases_on(nullptr);
  while (!evictable_.empty()) discard(*evictable_.begin());
  const auto take_back = [this](Reservation& room) {
    forget(room);
    free_blocks(room.fragments_);
  };
  while (!puts_.empty()) take_back(puts_.front());
  while (!reservations_.empty()) take_back(reservations_.front());
  while (!waiters_.empty()) decided_.emplace_back(remove(waiters_.begin()->second), std::nullopt);
  memory_ = renew();
}

void Engine::replace_memory(const Renew& renew) {
  Critical critical(*this);
  memory_ = renew();
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
  Critical critical(*this);
  wheel_.run_due(clock_.now());
  announced_due_.reset();
}

Statistics Engine::statistics() const {
  std::lock_guard lock(mutex_);
  Statistics now = totals_;
  now.buckets = static_cast<std::uint64_t>(
      std::count_if(buckets_.begin(), buckets_.end(),
                    [](const auto& entry) { return !entry.second.objects.empty(); }));
  now.live_leases = leases_.size();
  now.waiters = waiters_.size();
  now.puts_in_flight = puts_.size();
  now.capacity_bytes = capacity_;
  now.used_bytes = capacity_ - allocator_.free_blocks() * block_size_;
  now.pinned_bytes = pinned_blocks_ * block_size_;
  return now;
}

State Engine::state() const {
  std::lock_guard lock(mutex_);
  State state;
  state.capacity = capacity_;
  state.block_size = block_size_;
  const auto add_run = [&](const Fragment& fragment, BlockRun::Owner owner, std::string_view bucket,
                           std::string_view key) {
    state.blocks.push_back({fragment.offset / block_size_, whole_blocks(fragment.length), owner,
                            std::string(bucket), std::string(key)});
  };
  for (const auto& [name, bucket] : buckets_) {
    if (!bucket.objects.empty()) state.buckets.push_back(name);
    for (const auto& [key, object] : bucket.objects) {
      ObjectState& shown = state.objects.emplace_back();
      shown.bucket = name;
      shown.key = key;
      shown.pins = object.pins;
      shown.last_use = object.last_use;
      for (const auto& [offset, length] : object.fragments) {
        shown.fragments.push_back({offset, length});
        shown.bytes += length;
        add_run({offset, length}, BlockRun::Owner::object, name, key);
      }
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
  for (const auto& [id, lease] : leases_) {
    state.leases.push_back({std::string(id.text()), std::string(lease.object.bucket->name),
                            std::string(lease.object.key), left(lease.due())});
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
