// SPDX-License-Identifier: Apache-2.0
// Defects of acquiring, holding, expiring and releasing.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;

/// A mutation that changes grants.
void mutate_grants(DaemonSetup& setup, std::function<void(ResponseMessage&)> change) {
  setup.mutation.emplace();
  setup.mutation->response = [change = std::move(change)](const ReceivedRequest& request,
                                                          ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) change(response);
  };
}

/// A mutation that changes lease requests, or answers them.
void mutate_lease_requests(DaemonSetup& setup,
                           std::function<std::optional<ResponseMessage>(RequestHead&)> change) {
  setup.mutation.emplace();
  setup.mutation->request = [change = std::move(change)](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_acquire()) return std::nullopt;
    return change(head);
  };
}

/// A mutation that changes the number of a parameter.
void mutate_parameter(DaemonSetup& setup, const std::string& name,
                      std::function<double(double)> change) {
  mutate_lease_requests(
      setup,
      [name, change = std::move(change)](RequestHead& head) -> std::optional<ResponseMessage> {
        const auto value = head.parameter(name);
        if (!value || value->empty() ||
            value->find_first_not_of("0123456789.") != std::string::npos)
          return std::nullopt;
        char text[40];
        std::snprintf(text, sizeof text, name == "ttl_s" ? "%.3f" : "%.0f",
                      change(std::stod(*value)));
        head.set_parameter(name, text);
        return std::nullopt;
      });
}

void replace_first(std::string& text, std::string_view from, std::string_view to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

void set_id(ResponseMessage& grant, const std::string& id) {
  const std::string before = id_of(grant);
  grant.body.replace(grant.body.find('"' + before + '"') + 1, before.size(), id);
}

void grants_as_text(DaemonSetup& setup) {
  mutate_grants(
      setup, [](ResponseMessage& response) { response.set_header("Content-Type", "text/plain"); });
}

void truncates_its_json(DaemonSetup& setup) {
  mutate_grants(setup,
                [](ResponseMessage& response) { response.body.resize(response.body.size() - 2); });
}

void names_the_length_length(DaemonSetup& setup) {
  mutate_grants(setup, [](ResponseMessage& response) {
    replace_first(response.body, R"("len")", R"("length")");
  });
}

void gives_negative_offsets(DaemonSetup& setup) {
  mutate_grants(setup, [](ResponseMessage& response) {
    replace_first(response.body, R"("offset":)", R"("offset":-1)");
  });
}

/// Ids are changed on their way out and back again on their way in.
void mutate_ids(DaemonSetup& setup, std::function<std::string(const std::string&)> outward) {
  setup.mutation.emplace();
  auto inward = std::make_shared<std::map<std::string, std::string>>();
  setup.mutation->response = [inward, outward = std::move(outward)](
                                 const ReceivedRequest& request,
                                 ResponseMessage& response) mutable {
    if (!request.head.is_acquire() || response.status != 200) return;
    const std::string id = id_of(response);
    const std::string other = outward(id);
    set_id(response, other);
    (*inward)[other] = id;
  };
  setup.mutation->request = [inward](RequestHead& head,
                                     const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const auto found = inward->find(head.lease_id());
    if (found != inward->end()) head.target = "/v1/leases/" + found->second + "/release";
    return std::nullopt;
  };
}

void gives_ids_that_need_encoding(DaemonSetup& setup) {
  mutate_ids(setup, [](const std::string& id) { return id + "+/=="; });
}

void repeats_ids(DaemonSetup& setup) {
  mutate_ids(setup, [count = 0](const std::string&) mutable {
    return "lease-" + std::to_string(++count % 97);
  });
}

void wants_whole_seconds(DaemonSetup& setup) {
  mutate_lease_requests(setup, [](RequestHead& head) -> std::optional<ResponseMessage> {
    if (head.parameter("ttl_s").value_or("").find('.') == std::string::npos) return std::nullopt;
    return ResponseMessage::of(400);
  });
}

void gives_an_empty_fragment(DaemonSetup& setup) {
  mutate_grants(setup, [](ResponseMessage& response) {
    replace_first(response.body, R"("offsets":[)", R"("offsets":[{"offset":0,"len":0},)");
  });
}

void gives_a_fragment_twice(DaemonSetup& setup) {
  mutate_grants(setup, [](ResponseMessage& response) {
    const auto begin = response.body.find('[') + 1;
    const auto first = response.body.substr(begin, response.body.find('}') + 1 - begin);
    response.body.insert(begin, first + ",");
  });
}

void points_outside_the_segment(DaemonSetup& setup) {
  mutate_grants(setup, [](ResponseMessage& response) {
    replace_first(response.body, R"("offset":)", R"("offset":90000000000)");
  });
}

/// All leases on an object have one id, and its release ends them all.
void releases_by_key(DaemonSetup& setup) {
  setup.mutation.emplace();
  struct Shared {
    std::string first;
    std::vector<std::string> others;
  };
  auto objects = std::make_shared<std::map<std::string, Shared>>();
  setup.mutation->response = [objects](const ReceivedRequest& request, ResponseMessage& response) {
    if (!request.head.is_acquire() || response.status != 200) return;
    Shared& shared = (*objects)[request.head.object()];
    if (shared.first.empty()) {
      shared.first = id_of(response);
    } else {
      shared.others.push_back(id_of(response));
      set_id(response, shared.first);
    }
  };
  setup.mutation->request = [objects, direct = setup.direct](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    for (auto& [object, shared] : *objects) {
      if (shared.first != head.lease_id() || shared.first.empty()) continue;
      for (const std::string& id : shared.others) direct->release(id);
      shared = {};
    }
    return std::nullopt;
  };
}

/// Every lease keeps its id, but a release ends the others on its object as well.
void releases_all_leases_of_an_object(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto leases = std::make_shared<std::map<std::string, std::set<std::string>>>();
  setup.mutation->response = [leases](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200)
      (*leases)[request.head.object()].insert(id_of(response));
  };
  setup.mutation->request = [leases, direct = setup.direct](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    for (auto& [object, ids] : *leases) {
      if (ids.erase(head.lease_id()) == 0) continue;
      for (const std::string& id : ids) direct->release(id);
      ids.clear();
    }
    return std::nullopt;
  };
}

void closes_after_a_miss(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->close_after_miss = true;
}

void lets_default_leases_live_3_s(DaemonSetup& setup) { setup.options.behaviour.default_ttl = 3s; }

void takes_malformed_numbers_for_zero(DaemonSetup& setup) {
  mutate_lease_requests(setup, [](RequestHead& head) -> std::optional<ResponseMessage> {
    const auto hold = head.parameter("timeout_ms");
    if (hold && (hold->empty() || hold->find_first_not_of("0123456789") != std::string::npos)) {
      head.set_parameter("timeout_ms", "0");
    }
    return std::nullopt;
  });
}

void answers_misses_at_once(DaemonSetup& setup) {
  mutate_parameter(setup, "timeout_ms", [](double) { return 0.0; });
}

void answers_misses_with_503(DaemonSetup& setup) { setup.options.behaviour.miss_status = 503; }

void answers_misses_with_200(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 504)
      response = ResponseMessage::of(200, "{}");
  };
}

/// The first timeout_ms counts, wherever in the target it stands.
void reads_parameters_in_keys(DaemonSetup& setup) {
  mutate_lease_requests(setup, [](RequestHead& head) -> std::optional<ResponseMessage> {
    constexpr std::string_view name = "timeout_ms=";
    const auto at = head.object().find(name);
    if (at == std::string::npos) return std::nullopt;
    const std::string value = head.object().substr(at + name.size());
    head.set_parameter("timeout_ms", value.substr(0, value.find_first_not_of("0123456789")));
    return std::nullopt;
  });
}

void holds_twice_too_long(DaemonSetup& setup) {
  mutate_parameter(setup, "timeout_ms", [](double value) { return 2 * value; });
}

void never_wakes_waiters(DaemonSetup& setup) { setup.options.behaviour.wake_waiters = false; }

void wakes_one_waiter_only(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto woken = std::make_shared<std::set<std::string>>();
  setup.mutation->response = [woken](const ReceivedRequest& request, ResponseMessage& response) {
    const bool held =
        request.head.is_acquire() && request.head.parameter("timeout_ms").value_or("0") != "0";
    if (!held || response.status != 200 || now() - request.at < 50ms) return;
    if (!woken->insert(request.head.object()).second) response = ResponseMessage::of(504);
  };
}

void leases_to_clients_that_have_gone(DaemonSetup& setup) {
  setup.options.behaviour.drop_abandoned_waiters = false;
}

void holds_what_is_there(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->delay = [](const ReceivedRequest& request, const ResponseMessage& response) {
    const bool patient = request.head.parameter("timeout_ms").value_or("0").size() >= 4;
    return patient && request.head.is_acquire() && response.status == 200 ? 800ms : 0ms;
  };
}

void ends_leases_ten_times_too_soon(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s", [](double value) { return value / 10; });
}

void ends_leases_ten_times_too_late(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s", [](double value) { return 10 * value; });
}

void cuts_fractions_off(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s", [](double value) { return std::max(std::floor(value), 0.1); });
}

void cuts_ttls_to_half_seconds(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s",
                   [](double value) { return std::max(std::floor(2 * value) / 2, 0.1); });
}

/// The latest lease on an object sets the TTL of all.
void keeps_one_ttl_an_object(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto leases = std::make_shared<std::map<std::string, std::vector<std::string>>>();
  setup.mutation->response = [leases, direct = setup.direct](const ReceivedRequest& request,
                                                             ResponseMessage& response) {
    if (!request.head.is_acquire() || response.status != 200) return;
    auto& ids = (*leases)[request.head.object()];
    const double ttl = std::stod(request.head.parameter("ttl_s").value_or("30"));
    const std::chrono::milliseconds after(static_cast<long>(ttl * 1000));
    direct->later(after, [direct, earlier = ids] {
      for (const std::string& id : earlier) direct->release(id);
    });
    ids.push_back(id_of(response));
  };
}

void ends_leases_after_20_s(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s", [](double value) { return std::min(value, 20.0); });
}

void raises_ttls_to_a_second(DaemonSetup& setup) {
  mutate_parameter(setup, "ttl_s", [](double value) { return std::max(value, 1.0); });
}

/// A lease lives for as long as a later one on its object: its release goes to that one.
void prolongs_leases_by_later_ones(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto objects = std::make_shared<std::map<std::string, std::string>>();  // By lease.
  auto latest = std::make_shared<std::map<std::string, std::string>>();   // By object.
  setup.mutation->response = [=](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) {
      (*objects)[id_of(response)] = request.head.object();
      (*latest)[request.head.object()] = id_of(response);
    }
    if (!request.head.is_release() || response.status != 404) return;
    const auto object = objects->find(request.head.lease_id());
    if (object != objects->end() && (*latest)[object->second] != object->first)
      response = ResponseMessage::of(200);
  };
}

/// Whatever stands behind a live id is passed over.
void takes_ids_by_their_beginning(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto live = std::make_shared<std::set<std::string>>();
  setup.mutation->response = [live](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) live->insert(id_of(response));
  };
  setup.mutation->request = [live](RequestHead& head,
                                   const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const std::string id = head.lease_id();
    for (const std::string& one : *live) {
      if (!id.starts_with(one)) continue;
      head.target = "/v1/leases/" + one + "/release";
      live->erase(one);
      break;
    }
    return std::nullopt;
  };
}

void answers_releases_with_202(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_release() && response.status == 200) response.status = 202;
  };
}

void answers_any_release_with_200(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_release()) response = ResponseMessage::of(200);
  };
}

void takes_encoded_ids_as_they_come(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->request = [](RequestHead& head,
                               const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (head.lease_id().find('%') == std::string::npos) return std::nullopt;
    return ResponseMessage::of(404);
  };
}

void gives_ids_as_numbers(DaemonSetup& setup) {
  mutate_ids(setup, [count = 0](const std::string&) mutable { return std::to_string(++count); });
  const auto quoted = setup.mutation->response;
  setup.mutation->response = [quoted](const ReceivedRequest& request, ResponseMessage& response) {
    quoted(request, response);
    if (!request.head.is_acquire() || response.status != 200) return;
    const std::string id = id_of(response);
    replace_first(response.body, "\"" + id + "\"", id);
  };
}

void wants_no_exponents(DaemonSetup& setup) {
  mutate_lease_requests(setup, [](RequestHead& head) -> std::optional<ResponseMessage> {
    if (head.parameter("ttl_s").value_or("").find('e') == std::string::npos) return std::nullopt;
    return ResponseMessage::of(400);
  });
}

void releases_by_delete(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->request = [](RequestHead& head,
                               const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const auto at = head.target.find("/leases/");
    if (head.method != "DELETE" || at == std::string::npos) return std::nullopt;
    head.method = "POST";
    head.target = "/v1" + head.target.substr(at) + "/release";
    return std::nullopt;
  };
}

/// A second release of an id, while the first is under way, ends another lease on the object.
void ends_two_leases_at_once(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto leases = std::make_shared<std::map<std::string, std::set<std::string>>>();  // By object.
  auto under_way = std::make_shared<std::set<std::string>>();
  setup.mutation->request = [=, direct = setup.direct](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_release() || under_way->insert(head.lease_id()).second) return std::nullopt;
    for (auto& [object, ids] : *leases) {
      if (!ids.contains(head.lease_id())) continue;
      for (const std::string& id : ids) direct->release(id);
    }
    return std::nullopt;
  };
  setup.mutation->response = [=](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200)
      (*leases)[request.head.object()].insert(id_of(response));
  };
  setup.mutation->delay = [](const ReceivedRequest& request, const ResponseMessage&) {
    return request.head.is_release() ? 3ms : 0ms;
  };
  setup.mutation->answered = [=](const ReceivedRequest& request, const ResponseMessage&) {
    if (request.head.is_release()) under_way->erase(request.head.lease_id());
  };
}

void ties_leases_to_connections(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto owners = std::make_shared<std::map<std::string, std::uint64_t>>();
  setup.mutation->response = [owners](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200)
      (*owners)[id_of(response)] = request.connection;
  };
  setup.mutation->request = [owners](
                                RequestHead& head,
                                const ReceivedRequest& request) -> std::optional<ResponseMessage> {
    const auto owner = owners->find(head.lease_id());
    if (owner == owners->end() || owner->second == request.connection) return std::nullopt;
    return ResponseMessage::of(404);
  };
}

}  // namespace

std::vector<Defect> lease_defects() {
  return {
      {"grants_as_text", "grants leases as text/plain", {"LEASE-01"}, grants_as_text},
      {"truncates_its_json", "cuts the end off a grant", {"LEASE-02"}, truncates_its_json},
      {"names_the_length_length",
       "calls a fragment's len length",
       {"LEASE-02"},
       names_the_length_length},
      {"gives_negative_offsets", "gives negative offsets", {"LEASE-02"}, gives_negative_offsets},
      {"gives_ids_that_need_encoding",
       "gives lease ids with + / and =",
       {"LEASE-03"},
       gives_ids_that_need_encoding},
      {"wants_whole_seconds",
       "answers 400 to a ttl_s with a decimal point",
       {"LEASE-04"},
       wants_whole_seconds},
      {"gives_an_empty_fragment",
       "gives a fragment of length 0",
       {"LEASE-05"},
       gives_an_empty_fragment},
      {"gives_a_fragment_twice",
       "gives fragments that overlap",
       {"LEASE-05"},
       gives_a_fragment_twice},
      {"points_outside_the_segment",
       "gives offsets outside the segment",
       {"LEASE-05"},
       points_outside_the_segment},
      {"releases_by_key",
       "has one lease for each object and releases by key",
       {"LEASE-06", "REL-05"},
       releases_by_key},
      {"closes_after_a_miss",
       "closes the connection after a miss",
       {"LEASE-07"},
       closes_after_a_miss},
      {"lets_default_leases_live_3_s",
       "ends leases without ttl_s after 3 s",
       {"LEASE-08"},
       lets_default_leases_live_3_s},
      {"takes_malformed_numbers_for_zero",
       "takes a malformed timeout_ms for 0",
       {"LEASE-09"},
       takes_malformed_numbers_for_zero},
      {"answers_misses_at_once",
       "does not hold requests for absent keys",
       {"HOLD-01", "HOLD-04"},
       answers_misses_at_once},
      {"answers_misses_with_503", "answers 503 to a miss", {"HOLD-02"}, answers_misses_with_503},
      {"answers_misses_with_200",
       "answers 200 without a lease to a miss",
       {"HOLD-02"},
       answers_misses_with_200},
      {"holds_twice_too_long",
       "holds requests twice as long as asked",
       {"HOLD-03"},
       holds_twice_too_long},
      {"reads_parameters_in_keys",
       "takes timeout_ms in a key for the parameter",
       {"HOLD-03"},
       reads_parameters_in_keys},
      {"never_wakes_waiters",
       "looks for a key again only when the hold ends",
       {"HOLD-04"},
       never_wakes_waiters},
      {"wakes_one_waiter_only",
       "grants only one of the requests held for a key",
       {"HOLD-05"},
       wakes_one_waiter_only},
      {"leases_to_clients_that_have_gone",
       "grants leases to clients that have disconnected",
       {"HOLD-06"},
       leases_to_clients_that_have_gone},
      {"holds_what_is_there",
       "holds requests for keys that are stored",
       {"HOLD-07"},
       holds_what_is_there},
      {"ends_leases_ten_times_too_soon",
       "ends leases after a tenth of their TTL",
       {"TTL-01"},
       ends_leases_ten_times_too_soon},
      {"cuts_fractions_off", "drops the fraction of ttl_s", {"TTL-02"}, cuts_fractions_off},
      {"cuts_ttls_to_half_seconds",
       "cuts a ttl_s down to half seconds",
       {"TTL-02"},
       cuts_ttls_to_half_seconds},
      {"ends_leases_ten_times_too_late",
       "ends leases after ten times their TTL",
       {"TTL-03", "PIN-04"},
       ends_leases_ten_times_too_late},
      {"keeps_one_ttl_an_object",
       "lets a new lease set the TTL of all on its object",
       {"TTL-04"},
       keeps_one_ttl_an_object},
      {"answers_releases_with_202",
       "answers 202 to a release",
       {"REL-01"},
       answers_releases_with_202},
      {"answers_any_release_with_200",
       "answers 200 to the release of an unknown id",
       {"REL-02"},
       answers_any_release_with_200},
      {"ends_leases_after_20_s",
       "ends leases after 20 s, however much longer they were asked for",
       {"TTL-01"},
       ends_leases_after_20_s},
      {"raises_ttls_to_a_second",
       "takes a TTL below a second for one of a second",
       {"TTL-03"},
       raises_ttls_to_a_second},
      {"prolongs_leases_by_later_ones",
       "lets a lease live for as long as a later one on its object",
       {"TTL-03"},
       prolongs_leases_by_later_ones},
      {"takes_ids_by_their_beginning",
       "releases a lease by its id with more behind it",
       {"REL-02", "REL-05"},
       takes_ids_by_their_beginning},
      {"releases_by_delete", "releases upon DELETE under the key", {"REL-04"}, releases_by_delete},
      {"releases_all_leases_of_an_object",
       "ends another's lease with a release",
       {"REL-05", "PIN-02"},
       releases_all_leases_of_an_object},
      {"ends_two_leases_at_once",
       "ends another lease on the object when one is released twice at once",
       {"PIN-01"},
       ends_two_leases_at_once},
      {"ties_leases_to_connections",
       "releases only over the connection of the lease",
       {"REL-06"},
       ties_leases_to_connections},
      {"repeats_ids", "gives the same id to several live leases", {"CONC-04"}, repeats_ids},
      {"takes_encoded_ids_as_they_come",
       "does not decode the id in a release",
       {"REL-07"},
       takes_encoded_ids_as_they_come},
      {"gives_ids_as_numbers", "gives ids that are numbers", {"LEASE-10"}, gives_ids_as_numbers},
      {"wants_no_exponents",
       "answers 400 to a ttl_s with an exponent",
       {"TTL-05"},
       wants_no_exponents},
  };
}

}  // namespace hyperpod::conformance::defects
