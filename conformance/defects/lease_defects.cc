// Defects of acquiring, holding, expiring and releasing.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

/// A lie that changes grants.
void lie_about_grants(Making& making, std::function<void(AnswerMessage&)> change) {
  making.lie.emplace();
  making.lie->answer = [change = std::move(change)](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200) change(answer);
  };
}

/// A lie that changes lease requests, or answers them.
void lie_to_acquires(Making& making,
                     std::function<std::optional<AnswerMessage>(RequestHead&)> change) {
  making.lie.emplace();
  making.lie->request = [change = std::move(change)](RequestHead& head,
                                                     const Asked&) -> std::optional<AnswerMessage> {
    if (!head.is_acquire()) return std::nullopt;
    return change(head);
  };
}

/// A lie that changes the number of a parameter.
void lie_about_parameter(Making& making, const std::string& name,
                         std::function<double(double)> change) {
  lie_to_acquires(
      making,
      [name, change = std::move(change)](RequestHead& head) -> std::optional<AnswerMessage> {
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

/// The value of "id" in a grant: where it begins, and its length.
std::pair<std::size_t, std::size_t> id_place(const std::string& body) {
  const auto begin = body.find(R"("id":")") + 6;
  return {begin, body.find('"', begin) - begin};
}

std::string id_of(const AnswerMessage& grant) {
  const auto [begin, size] = id_place(grant.body);
  return grant.body.substr(begin, size);
}

void set_id(AnswerMessage& grant, const std::string& id) {
  const auto [begin, size] = id_place(grant.body);
  grant.body.replace(begin, size, id);
}

void grants_as_text(Making& making) {
  lie_about_grants(making,
                   [](AnswerMessage& answer) { answer.set_header("Content-Type", "text/plain"); });
}

void truncates_its_json(Making& making) {
  lie_about_grants(making,
                   [](AnswerMessage& answer) { answer.body.resize(answer.body.size() - 2); });
}

void names_the_length_length(Making& making) {
  lie_about_grants(
      making, [](AnswerMessage& answer) { replace_first(answer.body, R"("len")", R"("length")"); });
}

void gives_negative_offsets(Making& making) {
  lie_about_grants(making, [](AnswerMessage& answer) {
    replace_first(answer.body, R"("offset":)", R"("offset":-1)");
  });
}

/// Ids are changed on their way out and back again on their way in.
void lie_about_ids(Making& making, std::function<std::string(const std::string&)> outward) {
  making.lie.emplace();
  auto inward = std::make_shared<std::map<std::string, std::string>>();
  making.lie->answer = [inward, outward = std::move(outward)](const Asked& asked,
                                                              AnswerMessage& answer) mutable {
    if (!asked.head.is_acquire() || answer.status != 200) return;
    const std::string id = id_of(answer);
    const std::string other = outward(id);
    set_id(answer, other);
    (*inward)[other] = id;
  };
  making.lie->request = [inward](RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    const auto found = inward->find(head.lease_id());
    if (found != inward->end()) head.target = "/v1/leases/" + found->second + "/release";
    return std::nullopt;
  };
}

void gives_ids_that_need_encoding(Making& making) {
  lie_about_ids(making, [](const std::string& id) { return id + "+/=="; });
}

void repeats_ids(Making& making) {
  lie_about_ids(making, [count = 0](const std::string&) mutable {
    return "lease-" + std::to_string(++count % 97);
  });
}

void wants_whole_seconds(Making& making) {
  lie_to_acquires(making, [](RequestHead& head) -> std::optional<AnswerMessage> {
    if (head.parameter("ttl_s").value_or("").find('.') == std::string::npos) return std::nullopt;
    return AnswerMessage::of(400);
  });
}

void gives_an_empty_fragment(Making& making) {
  lie_about_grants(making, [](AnswerMessage& answer) {
    replace_first(answer.body, R"("offsets":[)", R"("offsets":[{"offset":0,"len":0},)");
  });
}

void gives_a_fragment_twice(Making& making) {
  lie_about_grants(making, [](AnswerMessage& answer) {
    const auto begin = answer.body.find('[') + 1;
    const auto first = answer.body.substr(begin, answer.body.find('}') + 1 - begin);
    answer.body.insert(begin, first + ",");
  });
}

void points_outside_the_segment(Making& making) {
  lie_about_grants(making, [](AnswerMessage& answer) {
    replace_first(answer.body, R"("offset":)", R"("offset":90000000000)");
  });
}

/// All leases on an object have one id, and its release ends them all.
void releases_by_key(Making& making) {
  making.lie.emplace();
  struct Shared {
    std::string first;
    std::vector<std::string> others;
  };
  auto objects = std::make_shared<std::map<std::string, Shared>>();
  making.lie->answer = [objects](const Asked& asked, AnswerMessage& answer) {
    if (!asked.head.is_acquire() || answer.status != 200) return;
    Shared& shared = (*objects)[asked.head.object()];
    if (shared.first.empty()) {
      shared.first = id_of(answer);
    } else {
      shared.others.push_back(id_of(answer));
      set_id(answer, shared.first);
    }
  };
  making.lie->request = [objects, stage = making.backstage](
                            RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    for (auto& [object, shared] : *objects) {
      if (shared.first != head.lease_id() || shared.first.empty()) continue;
      for (const std::string& id : shared.others) stage->release(id);
      shared = {};
    }
    return std::nullopt;
  };
}

/// Every lease keeps its id, but a release ends the others on its object as well.
void releases_all_leases_of_an_object(Making& making) {
  making.lie.emplace();
  auto leases = std::make_shared<std::map<std::string, std::set<std::string>>>();
  making.lie->answer = [leases](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200)
      (*leases)[asked.head.object()].insert(id_of(answer));
  };
  making.lie->request = [leases, stage = making.backstage](
                            RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    for (auto& [object, ids] : *leases) {
      if (ids.erase(head.lease_id()) == 0) continue;
      for (const std::string& id : ids) stage->release(id);
      ids.clear();
    }
    return std::nullopt;
  };
}

void closes_after_a_miss(Making& making) {
  making.lie.emplace();
  making.lie->close_after_miss = true;
}

void lets_default_leases_live_3_s(Making& making) { making.options.behaviour.default_ttl = 3s; }

void takes_malformed_numbers_for_zero(Making& making) {
  lie_to_acquires(making, [](RequestHead& head) -> std::optional<AnswerMessage> {
    const auto hold = head.parameter("timeout_ms");
    if (hold && (hold->empty() || hold->find_first_not_of("0123456789") != std::string::npos)) {
      head.set_parameter("timeout_ms", "0");
    }
    return std::nullopt;
  });
}

void answers_misses_at_once(Making& making) {
  lie_about_parameter(making, "timeout_ms", [](double) { return 0.0; });
}

void answers_misses_with_503(Making& making) { making.options.behaviour.miss_status = 503; }

void answers_misses_with_200(Making& making) {
  making.lie.emplace();
  making.lie->answer = [](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 504) answer = AnswerMessage::of(200, "{}");
  };
}

void holds_twice_too_long(Making& making) {
  lie_about_parameter(making, "timeout_ms", [](double value) { return 2 * value; });
}

void never_wakes_waiters(Making& making) { making.options.behaviour.wake_waiters = false; }

void wakes_one_waiter_only(Making& making) {
  making.lie.emplace();
  auto woken = std::make_shared<std::set<std::string>>();
  making.lie->answer = [woken](const Asked& asked, AnswerMessage& answer) {
    const bool held =
        asked.head.is_acquire() && asked.head.parameter("timeout_ms").value_or("0") != "0";
    if (!held || answer.status != 200 || now() - asked.at < 50ms) return;
    if (!woken->insert(asked.head.object()).second) answer = AnswerMessage::of(504);
  };
}

void leases_to_clients_that_have_gone(Making& making) {
  making.options.behaviour.drop_abandoned_waiters = false;
}

void holds_what_is_there(Making& making) {
  making.lie.emplace();
  making.lie->delay = [](const Asked& asked, const AnswerMessage& answer) {
    const bool patient = asked.head.parameter("timeout_ms").value_or("0").size() >= 4;
    return patient && asked.head.is_acquire() && answer.status == 200 ? 800ms : 0ms;
  };
}

void ends_leases_ten_times_too_soon(Making& making) {
  lie_about_parameter(making, "ttl_s", [](double value) { return value / 10; });
}

void ends_leases_ten_times_too_late(Making& making) {
  lie_about_parameter(making, "ttl_s", [](double value) { return 10 * value; });
}

void cuts_fractions_off(Making& making) {
  lie_about_parameter(making, "ttl_s",
                      [](double value) { return std::max(std::floor(value), 0.1); });
}

/// The latest lease on an object sets the TTL of all.
void keeps_one_ttl_an_object(Making& making) {
  making.lie.emplace();
  auto leases = std::make_shared<std::map<std::string, std::vector<std::string>>>();
  making.lie->answer = [leases, stage = making.backstage](const Asked& asked,
                                                          AnswerMessage& answer) {
    if (!asked.head.is_acquire() || answer.status != 200) return;
    auto& ids = (*leases)[asked.head.object()];
    const double ttl = std::stod(asked.head.parameter("ttl_s").value_or("30"));
    const std::chrono::milliseconds after(static_cast<long>(ttl * 1000));
    stage->later(after, [stage, earlier = ids] {
      for (const std::string& id : earlier) stage->release(id);
    });
    ids.push_back(id_of(answer));
  };
}

void answers_releases_with_202(Making& making) {
  making.lie.emplace();
  making.lie->answer = [](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_release() && answer.status == 200) answer.status = 202;
  };
}

void answers_any_release_with_200(Making& making) {
  making.lie.emplace();
  making.lie->answer = [](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_release()) answer = AnswerMessage::of(200);
  };
}

void releases_by_delete(Making& making) {
  making.lie.emplace();
  making.lie->request = [](RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    const auto at = head.target.find("/leases/");
    if (head.method != "DELETE" || at == std::string::npos) return std::nullopt;
    head.method = "POST";
    head.target = "/v1" + head.target.substr(at) + "/release";
    return std::nullopt;
  };
}

void ties_leases_to_connections(Making& making) {
  making.lie.emplace();
  auto owners = std::make_shared<std::map<std::string, std::uint64_t>>();
  making.lie->answer = [owners](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200)
      (*owners)[id_of(answer)] = asked.connection;
  };
  making.lie->request = [owners](RequestHead& head,
                                 const Asked& asked) -> std::optional<AnswerMessage> {
    const auto owner = owners->find(head.lease_id());
    if (owner == owners->end() || owner->second == asked.connection) return std::nullopt;
    return AnswerMessage::of(404);
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
      {"releases_by_delete", "releases upon DELETE under the key", {"REL-04"}, releases_by_delete},
      {"releases_all_leases_of_an_object",
       "ends another's lease with a release",
       {"REL-05", "PIN-02"},
       releases_all_leases_of_an_object},
      {"ties_leases_to_connections",
       "releases only over the connection of the lease",
       {"REL-06"},
       ties_leases_to_connections},
      {"repeats_ids", "gives the same id to several live leases", {"CONC-04"}, repeats_ids},
  };
}

}  // namespace hyperpod::conformance
