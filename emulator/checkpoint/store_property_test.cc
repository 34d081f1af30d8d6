// SPDX-License-Identifier: Apache-2.0
// Random histories of namespaces, saves, reads and deletions, run against the store and against a
// model of it that is simple enough to be believed.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/store.h"
#include "core/engine_test_support.h"

namespace hyperpod::emulator::checkpoint::store_property_test {
namespace {

using core::block;

constexpr std::uint64_t blocks_in_all = 24;

/// One step of a history. What its numbers mean depends on its kind; each is taken modulo what
/// there is to choose from.
struct Action {
  enum Kind { create, remove, begin, commit, abandon, hold, let_go, delete_shard, reset };
  Kind kind = create;
  unsigned name = 0;
  unsigned rank = 0;
  unsigned step = 0;
  unsigned size = 0;
};

constexpr std::array kind_names = {"create", "remove", "begin",        "commit", "abandon",
                                   "hold",   "let_go", "delete_shard", "reset"};

void showValue(const Action& action, std::ostream& out) {
  out << kind_names[action.kind] << "(name " << action.name << ", rank " << action.rank << ", step "
      << action.step << ", size " << action.size << ")";
}

rc::Gen<Action> any_action() {
  using rc::gen::inRange;
  const auto kind = rc::gen::weightedElement<Action::Kind>({
      {4, Action::create},
      {1, Action::remove},
      {20, Action::begin},
      {20, Action::commit},
      {2, Action::abandon},
      {6, Action::hold},
      {6, Action::let_go},
      {3, Action::delete_shard},
      {1, Action::reset},
  });
  return rc::gen::build<Action>(
      rc::gen::set(&Action::kind, kind), rc::gen::set(&Action::name, inRange(0u, 2u)),
      rc::gen::set(&Action::rank, inRange(0u, 4u)), rc::gen::set(&Action::step, inRange(0u, 6u)),
      rc::gen::set(&Action::size, inRange(0u, static_cast<unsigned>(4 * block))));
}

using Bytes = std::shared_ptr<const std::string>;

struct ModelNamespace {
  NamespaceOptions options;
  int generation = 0;
  std::map<std::uint64_t, std::map<std::uint64_t, Bytes>> steps;  // by step and rank

  std::set<std::uint64_t> complete() const {
    std::set<std::uint64_t> all;
    for (const auto& [step, ranks] : steps) {
      if (ranks.size() == options.num_ranks) all.insert(step);
    }
    return all;
  }
};

std::string text_of(const Shard& shard) {
  std::string text;
  if (!shard.bytes) return text;
  for (const auto piece : shard.bytes->bytes()) {
    for (const std::byte byte : piece) text.push_back(static_cast<char>(byte));
  }
  return text;
}

/// The store and its model, side by side.
class World {
 public:
  explicit World(Store::Options options) : options_(options), store_(engine_.engine, options) {}

  void apply(const Action& action) {
    const std::string name(1, static_cast<char>('a' + action.name));
    switch (action.kind) {
      case Action::create:
        create(name, {.num_ranks = 1 + action.rank % 3, .steps_retained = 1 + action.step % 3});
        break;
      case Action::remove:
        RC_ASSERT(store_.remove(name) == (namespaces_.erase(name) > 0));
        break;
      case Action::begin:
        begin(name, action);
        break;
      case Action::commit:
        if (!flights_.empty()) commit(action.size % flights_.size());
        break;
      case Action::abandon:
        if (!flights_.empty()) flights_.erase(flights_.begin() + action.size % flights_.size());
        break;
      case Action::hold:
        if (const auto shard = store_.read({name, action.rank, action.step})) {
          held_.emplace_back(*shard, *find(name, action.rank, action.step));
        }
        break;
      case Action::let_go:
        if (!held_.empty()) held_.erase(held_.begin() + action.size % held_.size());
        break;
      case Action::delete_shard:
        delete_shard(name, action);
        break;
      case Action::reset:
        store_.reset();
        namespaces_.clear();
        break;
    }
    compare();
  }

 private:
  struct Flight {
    Address address;
    int generation;
    Bytes bytes;
    Store::Writer writer;
  };

  void create(const std::string& name, const NamespaceOptions& wanted) {
    const auto [place, fresh] = namespaces_.try_emplace(name);
    if (fresh) place->second = {wanted, ++generations_, {}};
    const auto expected = fresh                             ? Creation::created
                          : place->second.options == wanted ? Creation::unchanged
                                                            : Creation::conflict;
    RC_ASSERT(store_.create(name, wanted) == expected);
  }

  void begin(const std::string& name, const Action& action) {
    // Each body is another one, as far as its length goes.
    std::string text(action.size, static_cast<char>('a' + ++bodies_ % 26));
    const auto bytes = std::make_shared<const std::string>(text);
    auto writer = store_.begin({name, action.rank, action.step}, text.size());
    const auto found = namespaces_.find(name);
    if (found == namespaces_.end()) {
      RC_ASSERT(!writer && writer.error() == Refusal::no_namespace);
    } else if (action.rank >= found->second.options.num_ranks) {
      RC_ASSERT(!writer && writer.error() == Refusal::no_rank);
    } else if (blocks_used() + blocks_of(text) > blocks_in_all) {
      RC_ASSERT(!writer && writer.error() == Refusal::no_room);
    } else {
      RC_ASSERT(writer.has_value());
      if (writer->room() != nullptr) core::write(*writer->room(), text);
      flights_.push_back(std::make_unique<Flight>(Flight{
          {name, action.rank, action.step}, found->second.generation, bytes, *std::move(writer)}));
    }
  }

  void commit(std::size_t index) {
    const auto owned = std::move(flights_[index]);
    flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(index));
    Flight& flight = *owned;
    const auto committed = flight.writer.commit(*flight.bytes);
    const auto found = namespaces_.find(flight.address.name);
    if (found == namespaces_.end() || found->second.generation != flight.generation) {
      RC_ASSERT(!committed && committed.error() == Refusal::no_namespace);
      return;
    }
    ModelNamespace& in = found->second;
    RC_ASSERT(committed.has_value());
    auto& ranks = in.steps[flight.address.step];
    ranks[flight.address.rank] = flight.bytes;
    if (!options_.retires_steps || ranks.size() < in.options.num_ranks) return;
    auto complete = in.complete();
    while (complete.size() > in.options.steps_retained) complete.erase(complete.begin());
    if (complete.size() < in.options.steps_retained) return;
    in.steps.erase(in.steps.begin(), in.steps.lower_bound(*complete.begin()));
  }

  void delete_shard(const std::string& name, const Action& action) {
    const bool there = find(name, action.rank, action.step) != nullptr;
    RC_ASSERT(store_.remove_shard({name, action.rank, action.step}) == there);
    if (!there) return;
    auto& steps = namespaces_[name].steps;
    steps[action.step].erase(action.rank);
    if (steps[action.step].empty()) steps.erase(action.step);
  }

  const Bytes* find(const std::string& name, std::uint64_t rank, std::uint64_t step) const {
    const auto in = namespaces_.find(name);
    if (in == namespaces_.end()) return nullptr;
    const auto ranks = in->second.steps.find(step);
    if (ranks == in->second.steps.end()) return nullptr;
    const auto bytes = ranks->second.find(rank);
    return bytes == ranks->second.end() ? nullptr : &bytes->second;
  }

  static std::uint64_t blocks_of(const std::string& text) {
    return (text.size() + block - 1) / block;
  }

  /// Whoever holds bytes, each of them counts once.
  std::uint64_t blocks_used() const {
    std::set<Bytes> all;
    for (const auto& [name, in] : namespaces_) {
      for (const auto& [step, ranks] : in.steps) {
        for (const auto& [rank, bytes] : ranks) all.insert(bytes);
      }
    }
    for (const auto& flight : flights_) all.insert(flight->bytes);
    for (const auto& [shard, bytes] : held_) all.insert(bytes);
    std::uint64_t blocks = 0;
    for (const Bytes& bytes : all) blocks += blocks_of(*bytes);
    return blocks;
  }

  void compare() const {
    Counters expected;
    expected.namespaces = namespaces_.size();
    for (const auto& [name, in] : namespaces_) {
      RC_ASSERT(store_.find(name) == in.options);
      std::vector<std::uint64_t> latest;
      const auto complete = in.complete();
      for (auto step = in.steps.rbegin(); step != in.steps.rend(); ++step) {
        if (options_.latest_counts_incomplete || complete.contains(step->first)) {
          latest.push_back(step->first);
        }
        expected.shards += step->second.size();
        for (const auto& [rank, bytes] : step->second) expected.bytes += bytes->size();
      }
      RC_ASSERT(store_.latest(name, 100) == latest);
      if (latest.size() > 2) latest.resize(2);
      RC_ASSERT(store_.latest(name, 2) == latest);
      for (std::uint64_t rank = 0; rank < 4; ++rank) {
        for (std::uint64_t step = 0; step < 6; ++step) {
          const auto shard = store_.read({name, rank, step});
          const Bytes* const bytes = find(name, rank, step);
          RC_ASSERT(shard.has_value() == (bytes != nullptr));
          if (!shard) continue;
          RC_ASSERT(text_of(*shard) == **bytes);
          RC_ASSERT(shard->meta == **bytes);
        }
      }
    }
    for (const auto& [shard, bytes] : held_) RC_ASSERT(text_of(shard) == *bytes);
    const Counters counters = store_.counters();
    RC_ASSERT(counters.namespaces == expected.namespaces);
    RC_ASSERT(counters.shards == expected.shards);
    RC_ASSERT(counters.bytes == expected.bytes);
    RC_ASSERT(store_.namespaces().size() == namespaces_.size());
    RC_ASSERT(engine_.engine.statistics().used_bytes == blocks_used() * block);
  }

  const Store::Options options_;
  mutable core::TestEngine engine_{core::options_of(blocks_in_all)};
  Store store_;
  std::map<std::string, ModelNamespace> namespaces_;
  int generations_ = 0;
  unsigned bodies_ = 0;
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<std::pair<Shard, Bytes>> held_;
};

RC_GTEST_PROP(StoreProperty, DoesWhatItsModelDoes, ()) {
  World world({.latest_counts_incomplete = *rc::gen::arbitrary<bool>(),
               .retires_steps = *rc::gen::weightedElement<bool>({{4, true}, {1, false}})});
  const auto history = *rc::gen::resize(200, rc::gen::container<std::vector<Action>>(any_action()));
  for (const Action& action : history) world.apply(action);
}

}  // namespace
}  // namespace hyperpod::emulator::checkpoint::store_property_test
