// SPDX-License-Identifier: Apache-2.0
// What the asynchronous calls take and return.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "hyperpod/client/error.h"

namespace hyperpod::client {

template <class Signature>
class MoveOnlyFunction;

/// What std::function is, for callables that can only be moved. A small one is held in place, a
/// larger one is allocated. Not thread-safe.
template <class... Arguments>
class MoveOnlyFunction<void(Arguments...)> {
 public:
  MoveOnlyFunction() = default;
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, MoveOnlyFunction> &&
           std::is_invocable_v<std::decay_t<Function>&, Arguments...>)
      // Implicit, as std::function's; the constraint keeps it out of copying and moving.
      // NOLINTNEXTLINE(bugprone-forwarding-reference-overload,google-explicit-constructor)
      MoveOnlyFunction(Function&& function) {
    using Held = std::decay_t<Function>;
    if constexpr (sizeof(Held) <= sizeof place_ && alignof(Held) <= alignof(void*) &&
                  std::is_nothrow_move_constructible_v<Held>) {
      new (place_) Held(std::forward<Function>(function));
      operations_ = &operations_of<Held>;
    } else {
      using Allocated = OnHeap<Held>;
      new (place_) Allocated{std::make_unique<Held>(std::forward<Function>(function))};
      operations_ = &operations_of<Allocated>;
    }
  }
  MoveOnlyFunction(MoveOnlyFunction&& other) noexcept { take(other); }
  MoveOnlyFunction& operator=(MoveOnlyFunction&& other) noexcept {
    if (this == &other) return *this;
    drop();
    take(other);
    return *this;
  }
  ~MoveOnlyFunction() { drop(); }

  explicit operator bool() const { return operations_ != nullptr; }
  /// REQUIRES: holds a callable.
  void operator()(Arguments... arguments) {
    operations_->call(place_, std::forward<Arguments>(arguments)...);
  }

 private:
  template <class Function>
  struct OnHeap {
    std::unique_ptr<Function> function;
    void operator()(Arguments&&... arguments) {
      (*function)(std::forward<Arguments>(arguments)...);
    }
  };
  struct Operations {
    void (*call)(void* held, Arguments&&... arguments);
    void (*move)(void* from, void* to) noexcept;  // and ends what is left at `from`
    void (*end)(void* held) noexcept;
  };
  template <class Held>
  static constexpr Operations operations_of{
      [](void* held, Arguments&&... arguments) {
        (*static_cast<Held*>(held))(std::forward<Arguments>(arguments)...);
      },
      [](void* from, void* to) noexcept {
        new (to) Held(std::move(*static_cast<Held*>(from)));
        static_cast<Held*>(from)->~Held();
      },
      [](void* held) noexcept { static_cast<Held*>(held)->~Held(); }};

  void take(MoveOnlyFunction& other) noexcept {
    operations_ = std::exchange(other.operations_, nullptr);
    if (operations_ != nullptr) operations_->move(other.place_, place_);
  }
  void drop() noexcept {
    if (const Operations* const held = std::exchange(operations_, nullptr)) held->end(place_);
  }

  const Operations* operations_ = nullptr;  // null: empty
  alignas(void*) std::byte place_[4 * sizeof(void*)]{};
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
