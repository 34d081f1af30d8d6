// SPDX-License-Identifier: Apache-2.0
// What the admin port does: one table of routes, from which requests are dispatched and
// /openapi.json is made, and what stands behind each.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "admin/control.h"
#include "admin/http_front.h"

namespace hyperpod::emulator::admin {

/// Sent as {"error":…,"message":…,"field":…}.
struct AdminError {
  int status = 400;
  std::string message;  ///< One sentence with the way out.
  std::string field{};  ///< Of the body, or parameter, that is to blame; empty: none.
};

using AdminResult = tl::expected<AdminResponse, AdminError>;

struct QueryParameter {
  enum class Type { text, number };
  std::string_view name;
  Type type = Type::text;
  std::string_view help{};
};

class Endpoints;

struct Route {
  struct Call {
    const AdminRequest& request;
    std::string name;  ///< What stands for {name} in the path, decoded.
  };
  /// An answer that is no error: its schema, or a content type that has none.
  struct Success {
    int status = 200;
    std::string_view schema{};
    std::string_view other_content_type{};
  };
  std::string_view method;
  std::string_view path;  ///< "/v1/faults/{name}"
  std::string_view summary;
  AdminResult (Endpoints::*handler)(const Call&);
  std::vector<Success> successes;
  /// Besides those that any request can meet: 400, 404, 405, 413, 414.
  std::vector<int> failures{};
  std::vector<QueryParameter> query{};
  std::string_view body{};  ///< Its schema; empty: none is looked at.
  bool body_required = false;
};

std::span<const Route> admin_routes();

class Endpoints {
 public:
  explicit Endpoints(Control& control) : control_(control) {}

  AdminResponse answer(const AdminRequest& request);

  /// Ends every wait.
  void stop() { stopping_ = true; }

  AdminResult health(const Route::Call& call);
  AdminResult readiness(const Route::Call& call);
  AdminResult metrics(const Route::Call& call);
  AdminResult openapi(const Route::Call& call);
  AdminResult state(const Route::Call& call);
  AdminResult statistics(const Route::Call& call);
  AdminResult objects(const Route::Call& call);
  AdminResult leases(const Route::Call& call);
  AdminResult journal(const Route::Call& call);
  AdminResult totals(const Route::Call& call);
  AdminResult faults(const Route::Call& call);
  AdminResult fault(const Route::Call& call);
  AdminResult add_faults(const Route::Call& call);
  AdminResult replace_faults(const Route::Call& call);
  AdminResult remove_faults(const Route::Call& call);
  AdminResult remove_fault(const Route::Call& call);
  AdminResult clock(const Route::Call& call);
  AdminResult advance_clock(const Route::Call& call);
  AdminResult segment(const Route::Call& call);
  AdminResult cause_incident(const Route::Call& call);
  AdminResult reset(const Route::Call& call);

 private:
  bool wait_for_entries(const JournalFilter& filter, std::uint64_t count,
                        std::chrono::milliseconds most) const;

  Control& control_;
  std::atomic<bool> stopping_{false};
};

/// The body of an answer with an error status.
std::string error_to_json(const AdminError& error);

}  // namespace hyperpod::emulator::admin
