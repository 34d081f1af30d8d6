// SPDX-License-Identifier: Apache-2.0
// Named points: places in the client at which a test or a defect can step in.
//
//   HYPERPOD_POINT("pool.keep", keep);
//
// In hyperpod::client this is nothing: no code, no symbol. In hyperpod_client_points, a second
// library from the same sources that is never installed, it calls what was set at the point of that
// name, which may look at the values passed, change them, or wait. So a test makes a race happen on
// purpose, and a defective client is the client itself with something set at its points.
#pragma once

#ifdef HYPERPOD_CLIENT_POINTS

#include <any>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace hyperpod::client::points {

/// Pointers to the values passed at the point, in order.
using Values = std::initializer_list<std::any>;

/// Calls what is set at `name`, if anything.
void reach(std::string_view name, Values values);

template <class... Arguments>
void pass(std::string_view name, Arguments&... arguments) {
  reach(name, {std::any(&arguments)...});
}

/// Sets what happens at `name`; an empty function removes it. Any thread; a call under way goes on.
void set(const std::string& name, std::function<void(Values)> action);

/// Sets an action that takes the point's values by reference, e.g.
/// at<bool>("pool.keep", [](bool& keep) { keep = false; }). The types must be exactly those passed.
template <class... Arguments, class Action>
void at(const std::string& name, Action action) {
  set(name, [action = std::move(action)](Values values) mutable {
    [&]<std::size_t... index>(std::index_sequence<index...>) {
      action(*std::any_cast<Arguments*>(values.begin()[index])...);
    }
    (std::index_sequence_for<Arguments...>());
  });
}

/// Removes what is set, everywhere.
void clear();

}  // namespace hyperpod::client::points

#define HYPERPOD_POINT(...) ::hyperpod::client::points::pass(__VA_ARGS__)

#else

#ifdef HYPERPOD_CLIENT_WITHOUT_POINTS
#error \
    "compiled once for both libraries: a file with points belongs to client_sources in CMakeLists.txt"
#endif

#define HYPERPOD_POINT(...) static_cast<void>(0)

#endif
