// SPDX-License-Identifier: Apache-2.0
#include "core/use_order.h"

#include <utility>

namespace hyperpod::emulator::core {

void UseOrder::add(Item& item) { use(item); }

void UseOrder::use(Item& item) {
  take_off(item);
  item.last_use_ = ++uses_;
  list_.push_back(item);
  item.place_ = Item::Place::list;
}

void UseOrder::take_off(Item& item) {
  const auto place = std::exchange(item.place_, Item::Place::none);
  if (place == Item::Place::list) list_.erase(list_.iterator_to(item));
  if (place == Item::Place::tree) tree_.erase(tree_.iterator_to(item));
}

void UseOrder::remove(Item& item) { take_off(item); }

bool UseOrder::pin(Item& item) {
  use(item);
  return item.pins_++ == 0;
}

bool UseOrder::unpin(Item& item) {
  if (--item.pins_ > 0) return false;
  if (item.place_ == Item::Place::aside) {
    tree_.insert(item);
    item.place_ = Item::Place::tree;
  }
  return true;
}

UseOrder::Item* UseOrder::oldest(std::size_t& steps) {
  if (!tree_.empty()) return &*tree_.begin();
  for (; !list_.empty(); --steps) {
    Item& item = list_.front();
    if (item.pins_ == 0) return &item;
    if (steps == 0) return nullptr;
    take_off(item);
    item.place_ = Item::Place::aside;
  }
  return nullptr;
}

void UseOrder::clear() {
  const auto forget = [](Item* item) { item->place_ = Item::Place::none; };
  list_.clear_and_dispose(forget);
  tree_.clear_and_dispose(forget);
}

}  // namespace hyperpod::emulator::core
