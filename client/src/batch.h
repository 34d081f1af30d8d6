// SPDX-License-Identifier: Apache-2.0
// Calls for many keys at once, of which a bounded number is under way at any moment.
//
// Everything here belongs to the loop's thread, except what says otherwise.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client_core.h"
#include "hyperpod/client/call.h"
#include "no_memory.h"
#include "points.h"

namespace hyperpod::client {

/// The outcomes of `count` independent calls, in order.
template <class Outcome>
class Batch final : public Cancellable, public std::enable_shared_from_this<Batch<Outcome>> {
 public:
  using Outcomes = std::vector<Result<Outcome>>;
  /// Starts the call of that index. Its handler may be called on any thread.
  using Start = std::function<Call(std::size_t index, Handler<Result<Outcome>> handler)>;

  Batch(std::shared_ptr<ClientCore> core, std::size_t count, Start start, Handler<Outcomes> handler)
      : core_(std::move(core)),
        start_(std::move(start)),
        handler_(std::move(handler)),
        outcomes_(count),
        calls_(count) {}

  /// Any thread.
  void begin() {
    core_->post([self = this->shared_from_this()] { self->start_more(); });
  }

  /// Any thread.
  void cancel() override try {
    core_->post([self = this->shared_from_this()] {
      self->cancelled_ = true;
      for (std::size_t i = 0; i < self->begun_; ++i) self->calls_[i].cancel();
    });
  } catch (const std::bad_alloc&) {  // it ends by its deadline
  }

 private:
  void start_more() {
    const std::size_t window = core_->options().max_concurrent_requests;
    while (begun_ < calls_.size() && begun_ - ended_ < window && !cancelled_) {
      const std::size_t index = begun_++;
      try {
        calls_[index] =
            start_(index, [self = this->shared_from_this(), index](Result<Outcome> outcome) {
              self->outcomes_[index] = std::move(outcome);  // on whatever thread
              self->core_->insist([self] {
                ++self->ended_;
                self->start_more();
              });
            });
      } catch (const std::bad_alloc&) {  // it was not begun
        outcomes_[index] = tl::unexpected(no_memory());
        ++ended_;
      }
    }
    if (cancelled_) {
      for (; begun_ < calls_.size(); ++begun_, ++ended_) {
        outcomes_[begun_] = tl::unexpected(Error{ErrorCode::cancelled, "the call was cancelled"});
      }
    }
    if (ended_ < calls_.size() || !handler_) return;
    HYPERPOD_POINT("batch.outcomes", outcomes_);
    std::exchange(handler_, {})(std::move(outcomes_));
  }

  const std::shared_ptr<ClientCore> core_;
  const Start start_;
  Handler<Outcomes> handler_;
  Outcomes outcomes_;
  std::vector<Call> calls_;
  std::size_t begun_ = 0;
  std::size_t ended_ = 0;
  bool cancelled_ = false;
};

/// Counts the keys that are there, from the first on. Beyond the first that is not, nothing is
/// asked any more, and what has been asked already is not waited for.
class PrefixLookup final : public Cancellable, public std::enable_shared_from_this<PrefixLookup> {
 public:
  PrefixLookup(std::shared_ptr<ClientCore> core, std::vector<std::string> keys, ReadOptions read,
               TimePoint deadline, Handler<ContainsOutcome> handler);

  /// Any thread.
  void begin();
  /// Any thread.
  void cancel() override;

 private:
  void start_more();
  void ended(std::size_t index, Result<bool> found);
  void stop_at(std::size_t index, std::optional<Error> why);
  void finish_if_known();

  const std::shared_ptr<ClientCore> core_;
  const std::vector<std::string> keys_;
  const ReadOptions read_;
  const TimePoint deadline_;
  Handler<ContainsOutcome> handler_;                                // empty once it has been called
  std::vector<std::shared_ptr<leases::Leases::Request>> requests_;  // begun; null once ended
  std::vector<bool> found_;
  std::size_t hits_ = 0;  // without a gap, from the first on
  std::size_t end_;       // no key from here on counts
  std::optional<Error> error_;
};

}  // namespace hyperpod::client
