// SPDX-License-Identifier: Apache-2.0
// What the admin port does: one table of routes, from which requests are dispatched and
// /openapi.json is made, and what stands behind each.
//
// Thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "admin/access.h"
#include "admin/control.h"
#include "admin/feed.h"
#include "admin/message.h"

namespace hyperpod::emulator::admin {

struct QueryParameter {
  enum class Type { text, number };
  std::string_view name;
  Type type = Type::text;
  std::string_view help{};
};

class Endpoints;

struct Route {
  /// Where the handler runs; see Session.
  enum class Where {
    at_once,  ///< Touches nothing of the emulator.
    reads,
    changes,
  };
  struct Call {
    const Request& request;
    std::string name;  ///< What stands for the path's variable, decoded.
  };
  /// A response that is not an error: its schema, or a content type that has none.
  struct Success {
    int status = 200;
    std::string_view schema{};
    std::string_view other_content_type{};
  };
  std::string_view method;
  std::string_view path;  ///< "/v1/faults/{name}"
  std::string_view summary;
  Reply (Endpoints::*handler)(const Call&);
  std::vector<Success> successes;
  /// Besides those that any request can meet: 400, 401, 403, 404, 405, 413, 414, 415, 431, 503.
  std::vector<int> failures{};
  std::vector<QueryParameter> query{};
  std::string_view body{};  ///< Its schema; empty: none is looked at.
  bool body_required = false;
  Where where = Where::reads;
  Guard guard = Guard::token;
};

std::span<const Route> admin_routes();

class Endpoints {
 public:
  /// `control` must outlive this.
  Endpoints(Control& control, std::shared_ptr<Feed> feed);

  /// What a method and a path lead to; without a route, respond() says why not.
  struct Match {
    const Route* route = nullptr;
    std::string name{};  ///< What stands for the path's variable, decoded.
    Refusal refusal{};
    std::string allow{};  ///< With 405.
  };
  Match find(const Request& request) const;

  /// To be called where the route says. `match` is that of `request`.
  Response respond(const Match& match, const Request& request);

  // The handlers.
  Reply page(const Route::Call& call);
  Reply page_style(const Route::Call& call);
  Reply page_script(const Route::Call& call);
  Reply events(const Route::Call& call);
  Reply health(const Route::Call& call);
  Reply readiness(const Route::Call& call);
  Reply metrics(const Route::Call& call);
  Reply openapi(const Route::Call& call);
  Reply info(const Route::Call& call);
  Reply state(const Route::Call& call);
  Reply statistics(const Route::Call& call);
  Reply objects(const Route::Call& call);
  Reply leases(const Route::Call& call);
  Reply journal(const Route::Call& call);
  Reply journal_entry(const Route::Call& call);
  Reply totals(const Route::Call& call);
  Reply faults(const Route::Call& call);
  Reply fault(const Route::Call& call);
  Reply add_faults(const Route::Call& call);
  Reply replace_faults(const Route::Call& call);
  Reply remove_faults(const Route::Call& call);
  Reply remove_fault(const Route::Call& call);
  Reply scenarios(const Route::Call& call);
  Reply clock(const Route::Call& call);
  Reply advance_clock(const Route::Call& call);
  Reply segment(const Route::Call& call);
  Reply cause_incident(const Route::Call& call);
  Reply reset(const Route::Call& call);

 private:
  Control& control_;
  const std::shared_ptr<Feed> feed_;
};

}  // namespace hyperpod::emulator::admin
