// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/store.h"

#include <utility>

namespace hyperpod::emulator::checkpoint {
namespace {

Refusal of(core::PutRefusal refusal) {
  switch (refusal) {
    case core::PutRefusal::too_large:
      return Refusal::too_large;
    case core::PutRefusal::no_memory:
      return Refusal::no_memory;
    default:
      return Refusal::no_room;
  }
}

}  // namespace

Store::Store(core::Engine& engine, Options options) : engine_(engine), options_(options) {}

Creation Store::create(std::string_view name, const NamespaceOptions& options) {
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(name);
  if (found == namespaces_.end()) {
    Namespace& created = namespaces_[std::string(name)];
    created.options = options;
    created.generation = ++generations_;
    ++counters_.namespaces;
    return Creation::created;
  }
  return found->second.options == options ? Creation::unchanged : Creation::conflict;
}

std::optional<NamespaceOptions> Store::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(name);
  if (found == namespaces_.end()) return std::nullopt;
  return found->second.options;
}

bool Store::remove(std::string_view name) {
  Dropped dropped;
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(name);
  if (found == namespaces_.end()) return false;
  drop_steps(found->second, dropped);
  namespaces_.erase(found);
  --counters_.namespaces;
  return true;
}

tl::expected<Store::Writer, Refusal> Store::begin(Address address,
                                                  std::optional<std::uint64_t> size) {
  std::uint64_t generation = 0;
  {
    std::lock_guard lock(mutex_);
    const auto found = namespaces_.find(address.name);
    if (found == namespaces_.end()) return tl::make_unexpected(Refusal::no_namespace);
    if (address.rank >= found->second.options.num_ranks) {
      return tl::make_unexpected(Refusal::no_rank);
    }
    generation = found->second.generation;
  }
  std::unique_ptr<core::Reservation> room;
  if (size != 0) {
    auto reserved = engine_.reserve_room(size);
    if (!reserved) return tl::make_unexpected(of(reserved.error()));
    room = *std::move(reserved);
  }
  Writer writer(*this, std::move(address), std::move(room));
  writer.generation_ = generation;
  return writer;
}

tl::expected<void, Refusal> Store::Writer::commit(std::optional<std::string> meta) {
  return store_.commit(*this, std::move(meta));
}

tl::expected<void, Refusal> Store::commit(Writer& writer, std::optional<std::string> meta) {
  if (writer.room_ && !writer.room_->seal()) return tl::make_unexpected(Refusal::lost);
  Shard shard{.bytes = std::move(writer.room_), .meta = std::move(meta)};
  if (shard.size() == 0) shard.bytes.reset();

  Dropped dropped;
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(writer.address_.name);
  // Another namespace of the same name is not the one that the body was sent to.
  if (found == namespaces_.end() || found->second.generation != writer.generation_) {
    return tl::make_unexpected(Refusal::no_namespace);
  }
  Namespace& in = found->second;

  Step& step = in.steps[writer.address_.step];
  const auto [place, is_new] = step.try_emplace(writer.address_.rank);
  if (!is_new) drop(place->second, dropped);
  counters_.bytes += shard.size();
  ++counters_.shards;
  ++counters_.shards_stored;
  place->second = std::move(shard);
  if (step.size() == in.options.num_ranks) {
    in.complete.insert(writer.address_.step);
    if (options_.retires_steps) retire(in, dropped);
  }
  return {};
}

// What is older than the last complete step that is kept goes, complete or not: no restore would
// choose it.
void Store::retire(Namespace& in, Dropped& dropped) {
  if (in.complete.size() < in.options.steps_retained) return;
  const auto oldest_kept =
      std::next(in.complete.begin(), static_cast<std::ptrdiff_t>(in.options.steps_retained - 1));
  const std::uint64_t kept_from = *oldest_kept;
  in.complete.erase(std::next(oldest_kept), in.complete.end());
  for (auto step = in.steps.upper_bound(kept_from); step != in.steps.end();) {
    for (auto& [rank, shard] : step->second) {
      drop(shard, dropped);
      ++counters_.shards_retired;
    }
    step = in.steps.erase(step);
  }
}

void Store::drop(Shard& shard, Dropped& dropped) {
  counters_.bytes -= shard.size();
  --counters_.shards;
  dropped.push_back(std::move(shard));
}

void Store::drop_steps(Namespace& in, Dropped& dropped) {
  for (auto& [number, step] : in.steps) {
    for (auto& [rank, shard] : step) drop(shard, dropped);
  }
}

std::optional<Shard> Store::read(const Address& address) const {
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(address.name);
  if (found == namespaces_.end()) return std::nullopt;
  const auto step = found->second.steps.find(address.step);
  if (step == found->second.steps.end()) return std::nullopt;
  const auto shard = step->second.find(address.rank);
  if (shard == step->second.end()) return std::nullopt;
  return shard->second;
}

bool Store::remove_shard(const Address& address) {
  Dropped dropped;
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(address.name);
  if (found == namespaces_.end()) return false;
  Namespace& in = found->second;
  const auto step = in.steps.find(address.step);
  if (step == in.steps.end()) return false;
  const auto shard = step->second.find(address.rank);
  if (shard == step->second.end()) return false;
  drop(shard->second, dropped);
  step->second.erase(shard);
  in.complete.erase(address.step);
  if (step->second.empty()) in.steps.erase(step);
  return true;
}

std::optional<std::vector<std::uint64_t>> Store::latest(std::string_view name,
                                                        std::uint64_t limit) const {
  std::lock_guard lock(mutex_);
  const auto found = namespaces_.find(name);
  if (found == namespaces_.end()) return std::nullopt;
  const Namespace& in = found->second;
  std::vector<std::uint64_t> steps;
  if (options_.latest_counts_incomplete) {
    for (auto step = in.steps.begin(); step != in.steps.end() && steps.size() < limit; ++step) {
      steps.push_back(step->first);
    }
  } else {
    for (auto step = in.complete.begin(); step != in.complete.end() && steps.size() < limit;
         ++step) {
      steps.push_back(*step);
    }
  }
  return steps;
}

Store::Contents Store::take_all() {
  Contents all;
  std::lock_guard lock(mutex_);
  all.namespaces_.swap(namespaces_);
  counters_.shards = 0;
  counters_.bytes = 0;
  counters_.namespaces = 0;
  return all;
}

void Store::reset() { take_all(); }

Counters Store::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

void Store::reset_counters() {
  std::lock_guard lock(mutex_);
  counters_.shards_stored = 0;
  counters_.shards_retired = 0;
}

std::vector<NamespaceState> Store::namespaces() const {
  std::lock_guard lock(mutex_);
  std::vector<NamespaceState> all;
  for (const auto& [name, in] : namespaces_) {
    NamespaceState& shown = all.emplace_back();
    shown.name = name;
    shown.num_ranks = in.options.num_ranks;
    shown.steps_retained = in.options.steps_retained;
    for (const auto& [number, step] : in.steps) {
      auto& steps = in.complete.contains(number) ? shown.complete_steps : shown.incomplete_steps;
      steps.push_back(number);
      for (const auto& [rank, shard] : step) shown.bytes += shard.size();
    }
  }
  return all;
}

}  // namespace hyperpod::emulator::checkpoint
