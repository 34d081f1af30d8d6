// SPDX-License-Identifier: Apache-2.0
#include "batch.h"

#include <algorithm>
#include <new>

namespace hyperpod::client {

PrefixLookup::PrefixLookup(std::shared_ptr<ClientCore> core, std::vector<std::string> keys,
                           ReadOptions read, TimePoint deadline, Handler<ContainsOutcome> handler)
    : core_(std::move(core)),
      keys_(std::move(keys)),
      read_(read),
      deadline_(deadline),
      handler_(std::move(handler)),
      found_(keys_.size()),
      end_(keys_.size()) {
  requests_.reserve(keys_.size());
}

void PrefixLookup::begin() {
  core_->post([self = shared_from_this()] { self->start_more(); });
}

void PrefixLookup::cancel() try {
  core_->post([self = shared_from_this()] {
    self->stop_at(self->hits_, Error{ErrorCode::cancelled, "the call was cancelled"});
    self->finish_if_known();
  });
} catch (const std::bad_alloc&) {  // it ends by its deadline
}

void PrefixLookup::start_more() {
  std::size_t window = core_->options().max_concurrent_requests;
  HYPERPOD_POINT("lookup.window", window);
  // No further beyond a first miss that is still to be found, either.
  while (requests_.size() < std::min(end_, hits_ + window)) {
    const std::size_t index = requests_.size();
    try {
      requests_.push_back(core_->exists(keys_[index], read_, deadline_,
                                        [self = shared_from_this(), index](Result<bool> found) {
                                          self->ended(index, std::move(found));
                                        }));
    } catch (const std::bad_alloc&) {  // it was not begun
      stop_at(index, no_memory());
    }
  }
  finish_if_known();
}

void PrefixLookup::ended(std::size_t index, Result<bool> found) {
  requests_[index].reset();
  bool counts = found && *found;
  HYPERPOD_POINT("lookup.counts", counts, found);
  if (counts) {
    found_[index] = true;
    while (hits_ < end_ && found_[hits_]) ++hits_;
  } else if (index < end_) {
    stop_at(index, found ? std::nullopt : std::optional(std::move(found).error()));
  }
  start_more();
}

void PrefixLookup::stop_at(std::size_t index, std::optional<Error> why) {
  if (!handler_) return;
  end_ = index;
  error_ = std::move(why);
  // Of what is on the wire the responses are read: closing its connections would cost more.
  for (std::size_t i = index + 1; i < requests_.size(); ++i) {
    if (const auto request = requests_[i]) core_->cancel_queued(*request);
  }
}

void PrefixLookup::finish_if_known() {
  if (!handler_ || hits_ < end_) return;
  HYPERPOD_POINT("lookup.hits", hits_, found_);
  std::exchange(handler_, {})(ContainsOutcome{hits_, std::move(error_)});
}

}  // namespace hyperpod::client
