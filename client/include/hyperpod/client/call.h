// SPDX-License-Identifier: Apache-2.0
// What the asynchronous calls take and return.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

template <class Signature>
class MoveOnlyFunction;

/// What std::function is, for callables that can only be moved. Not thread-safe.
template <class... Arguments>
class MoveOnlyFunction<void(Arguments...)> {
 public:
  MoveOnlyFunction() = default;
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, MoveOnlyFunction> &&
           std::is_invocable_v<std::decay_t<Function>&, Arguments...>)
      // Implicit, as std::function's; the constraint keeps it out of copying and moving.
      // NOLINTNEXTLINE(bugprone-forwarding-reference-overload,google-explicit-constructor)
      MoveOnlyFunction(Function&& function)
      : target_(
            std::make_unique<Target<std::decay_t<Function>>>(std::forward<Function>(function))) {}

  explicit operator bool() const { return target_ != nullptr; }
  /// REQUIRES: holds a callable.
  void operator()(Arguments... arguments) { target_->call(std::forward<Arguments>(arguments)...); }

 private:
  struct Callable {
    virtual ~Callable() = default;
    virtual void call(Arguments... arguments) = 0;
  };
  template <class Function>
  struct Target final : Callable {
    explicit Target(Function&& f) : function(std::move(f)) {}
    explicit Target(const Function& f) : function(f) {}
    void call(Arguments... arguments) override { function(std::forward<Arguments>(arguments)...); }
    Function function;
  };
  std::unique_ptr<Callable> target_;
};

using Task = MoveOnlyFunction<void()>;

/// Receives the outcome of an asynchronous call. It is called exactly once, after the call that
/// started it has returned, with no lock held: on the client's I/O thread, which it must not block,
/// or where ClientOptions::executor says. It must not throw. In a child process made by fork()
/// there is no I/O thread: without an executor the handler is called before the call returns, as it
/// is where there is no memory to begin the call.
template <class Outcome>
using Handler = MoveOnlyFunction<void(Outcome)>;

/// Something under way that can be cancelled.
class Cancellable {
 public:
  virtual ~Cancellable() = default;
  virtual void cancel() = 0;
};

/// An asynchronous call under way. Copies stand for the same call; dropping all of them changes
/// nothing. May be used from any thread and after the call has ended.
class Call {
 public:
  Call() = default;
  explicit Call(std::weak_ptr<Cancellable> target) : target_(std::move(target)) {}

  /// Makes the call end soon, in `cancelled` unless it has ended otherwise by then. A request that
  /// waits in the queue is never sent. One that is on the wire is given up: a put may or may not be
  /// stored, and a lease that is granted meanwhile is released. Never blocks.
  void cancel() const {
    if (const auto target = target_.lock()) target->cancel();
  }

 private:
  std::weak_ptr<Cancellable> target_;
};

}  // namespace hyperpod::client
