// SPDX-License-Identifier: Apache-2.0
// The order in which objects were last used, some of them pinned, and the first that may go.
//
// All stand in one list in order of their use, pinned or not: a use moves its item to the end, at
// the same cost however many there are. The search for the oldest that is not pinned takes the
// pinned ones before it off the list. Such an item that is unpinned without another use stands in a
// tree, by the time of its use; all in the tree are older than all in the list. An item is passed
// over once a use at most, so searching costs no more than using does. Not thread-safe: the owner
// locks.
#pragma once

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <cstddef>
#include <cstdint>

namespace hyperpod::emulator::core {

class UseOrder {
 public:
  /// What is used. Derive from it; it must be removed before it is destroyed.
  class Item {
   public:
    /// Rank of the last use: a greater one was later.
    std::uint64_t last_use() const { return last_use_; }
    std::uint32_t pins() const { return pins_; }

   protected:
    Item() = default;
    ~Item() = default;

   private:
    friend class UseOrder;
    enum class Place : std::uint8_t {
      none,
      list,
      tree,
      aside  // pinned, and passed over
    };

    boost::intrusive::list_member_hook<> in_list_;
    boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>> in_tree_;
    std::uint64_t last_use_ = 0;
    std::uint32_t pins_ = 0;
    Place place_ = Place::none;
  };

  /// Puts `item` at the end: nothing was used later.
  void add(Item& item);
  /// Takes it out, pinned or not; its pins are counted on.
  void remove(Item& item);
  /// A use that pins. True if nothing pinned it before. REQUIRES that it is in the order.
  bool pin(Item& item);
  /// Ends one pin, which is not a use. True if it was the last. Of an item that was removed, too.
  bool unpin(Item& item);

  /// The least recently used item that is not pinned. Each pinned one passed over takes one of
  /// `steps`; null if there are no steps left, or no such item.
  Item* oldest(std::size_t& steps);

  /// Forgets all.
  void clear();

 private:
  struct Rank {
    using type = std::uint64_t;
    type operator()(const Item& item) const { return item.last_use_; }
  };

  void use(Item& item);
  void take_off(Item& item);

  boost::intrusive::list<
      Item, boost::intrusive::member_hook<Item, decltype(Item::in_list_), &Item::in_list_>,
      boost::intrusive::constant_time_size<false>>
      list_;
  boost::intrusive::set<
      Item, boost::intrusive::member_hook<Item, decltype(Item::in_tree_), &Item::in_tree_>,
      boost::intrusive::key_of_value<Rank>>
      tree_;
  std::uint64_t uses_ = 0;
};

}  // namespace hyperpod::emulator::core
