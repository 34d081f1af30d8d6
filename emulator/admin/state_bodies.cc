// SPDX-License-Identifier: Apache-2.0
#include "admin/state_bodies.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>

#include "admin/views.h"

namespace hyperpod::emulator::admin {
namespace {

constexpr std::size_t items_per_piece = 256;
constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

// Items of an array, apart by commas.
class Items {
 public:
  template <class Item>
  void append(const Item& item, std::string& out) {
    if (std::exchange(separate_, true)) out += ',';
    out += to_text(view(item));
  }

 private:
  bool separate_ = false;
};

template <class Item>
std::string array_of(const std::vector<Item>& items) {
  std::string text = "[";
  Items list;
  for (const Item& item : items) list.append(item, text);
  return text += ']';
}

class ObjectsSource final : public Source {
 public:
  ObjectsSource(const Control& control, ObjectFilter filter, std::uint64_t limit)
      : control_(control), filter_(std::move(filter)), left_(limit), next_(filter_.first_block) {}

  More next(std::string& out) override {
    if (!std::exchange(begun_, true)) out += "{\"objects\":[";
    const BlockPage page = control_.blocks(next_, items_per_piece);
    for (const ObjectState& object : page.objects) {
      if (left_ == 0 || !accepts(object)) continue;
      --left_;
      items_.append(object, out);
    }
    next_ = page.next_block;
    if (left_ > 0 && next_ < std::min(page.blocks, filter_.end_block)) return More::now;
    out += "]}\n";
    return More::never;
  }

 private:
  bool accepts(const ObjectState& object) const {
    const std::uint64_t block = object.fragments.front().offset / control_.options().block_size;
    return block >= filter_.first_block && block < filter_.end_block &&
           (!filter_.bucket || object.bucket == *filter_.bucket) &&
           (!filter_.key || object.key == *filter_.key);
  }

  const Control& control_;
  const ObjectFilter filter_;
  std::uint64_t left_;
  std::uint64_t next_;
  Items items_;
  bool begun_ = false;
};

// One walk over the blocks for the objects, another for the map.
class StateSource final : public Source {
 public:
  explicit StateSource(const Control& control) : control_(control) {}

  More next(std::string& out) override {
    const Options& options = control_.options();
    if (!std::exchange(begun_, true)) {
      out += fmt::format("{{\"capacity\":{},\"block_size\":{},\"objects\":[", options.capacity,
                         options.block_size);
    }
    const BlockPage page = control_.blocks(next_, items_per_piece);
    if (in_objects_) {
      for (const ObjectState& object : page.objects) {
        buckets_.insert(object.bucket);
        items_.append(object, out);
      }
    } else {
      append(page, out);
    }
    next_ = page.next_block;
    if (next_ < page.blocks) return More::now;
    if (!in_objects_) {
      out += "]}\n";
      return More::never;
    }
    in_objects_ = false;
    next_ = 0;
    items_ = {};
    const LiveState live = control_.live(all);
    out +=
        fmt::format("],\"buckets\":{},\"leases\":{},\"waiters\":{},\"namespaces\":{},\"blocks\":[",
                    to_text(Json(buckets_)), array_of(live.leases), array_of(live.waiters),
                    array_of(control_.namespaces()));
    buckets_.clear();
    return More::now;
  }

 private:
  // A run that goes on in the next page is held back until its end is known.
  void append(const BlockPage& page, std::string& out) {
    for (std::size_t i = 0; i < page.runs.size(); ++i) {
      BlockRun run = page.runs[i];
      if (begun_run_) {
        begun_run_->blocks += run.blocks;
        run = *std::exchange(begun_run_, std::nullopt);
      }
      if (page.cut && i + 1 == page.runs.size()) {
        begun_run_ = std::move(run);
      } else {
        items_.append(run, out);
      }
    }
  }

  const Control& control_;
  std::uint64_t next_ = 0;
  Items items_;
  std::optional<BlockRun> begun_run_;
  std::set<std::string> buckets_;
  bool begun_ = false;
  bool in_objects_ = true;
};

}  // namespace

std::unique_ptr<Source> state_body(const Control& control) {
  return std::make_unique<StateSource>(control);
}

std::unique_ptr<Source> objects_body(const Control& control, ObjectFilter filter,
                                     std::uint64_t limit) {
  return std::make_unique<ObjectsSource>(control, std::move(filter), limit);
}

}  // namespace hyperpod::emulator::admin
