// SPDX-License-Identifier: Apache-2.0
// Defects of the checkpoint API.
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

constexpr std::string_view namespaces = "/v1/cp/namespaces/";
constexpr std::string_view shards = "/v1/cp/checkpoints/";

bool is(const RequestHead& head, std::string_view method, std::string_view under) {
  return head.method == method && head.target.starts_with(under);
}

bool asks_for_latest(const RequestHead& head) {
  return is(head, "GET", shards) && head.target.find("/latest?") != std::string::npos;
}

/// The namespace in a target, as it stands there.
std::string name_in(const RequestHead& head) {
  const auto path = std::string_view(head.target).substr(0, head.target.find('?'));
  const auto from = path.substr(path.starts_with(shards) ? shards.size() : namespaces.size());
  return std::string(from.substr(0, from.find('/')));
}

using ChangeResponse = std::function<void(const ReceivedRequest&, ResponseMessage&)>;
using ChangeRequest =
    std::function<std::optional<ResponseMessage>(RequestHead&, const ReceivedRequest&)>;

std::function<void(DaemonSetup&)> responding(ChangeResponse change) {
  return [change = std::move(change)](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->response = change;
  };
}

std::function<void(DaemonSetup&)> asking(ChangeRequest change) {
  return [change = std::move(change)](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->request = change;
  };
}

/// A request that is answered with a success and reaches nobody.
std::function<void(DaemonSetup&)> pretending(std::string_view method, std::string_view under) {
  return asking(
      [method, under](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
        if (!is(head, method, under)) return std::nullopt;
        return ResponseMessage::of(200);
      });
}

void replace(std::string& text, std::string_view what, std::string_view by) {
  const auto at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), by);
}

std::function<void(DaemonSetup&)> switched(std::function<void(emulator::Behaviour&)> change) {
  return [change = std::move(change)](DaemonSetup& setup) { change(setup.options.behaviour); };
}

void flips_a_bit_of_a_shard(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->body = [](const ReceivedRequest& request, std::uint64_t at,
                            std::span<char> part) {
    constexpr std::uint64_t place = 50'000;
    if (is(request.head, "POST", shards) && at <= place && place < at + part.size())
      part[place - at] ^= 1;
  };
}

void stores_shards_cut_short(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->completes_cut_body = [](std::uint64_t, std::uint64_t) { return true; };
}

/// A shard goes when its replacement begins.
void drops_a_shard_that_is_being_replaced(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->request = [direct = setup.direct](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (is(head, "POST", shards)) direct->ask("DELETE", head.target);
    return std::nullopt;
  };
}

/// Evicts the first shard of a namespace when many KV objects have come.
void evicts_shards(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto shard = std::make_shared<std::string>();
  auto puts = std::make_shared<int>(0);
  setup.mutation->request = [direct = setup.direct, shard, puts](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    constexpr int many = 20;
    if (is(head, "POST", shards)) {
      *shard = head.target;
      *puts = 0;
    }
    if (head.is_put() && ++*puts == many && !shard->empty()) direct->ask("DELETE", *shard);
    return std::nullopt;
  };
}

}  // namespace

std::vector<Defect> checkpoint_defects() {
  return {
      {"swaps_the_numbers_of_a_namespace",
       "takes num_ranks for steps_retained and the other way round",
       {"CP-01"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (!is(request.head, "GET", namespaces)) return;
         replace(response.body, "num_ranks", "x");
         replace(response.body, "steps_to_retain_per_rank", "num_ranks");
         replace(response.body, "\"x\"", "\"steps_to_retain_per_rank\"");
         response.set_header("Content-Length", std::to_string(response.body.size()));
       })},
      {"knows_every_namespace",
       "answers the GET of an absent namespace with 200",
       {"CP-02", "CP-04"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (is(request.head, "GET", namespaces) && response.status == 404)
           response = ResponseMessage::of(200, R"({"num_ranks":1,"steps_to_retain_per_rank":1})");
       })},
      {"answers_412_to_a_conflict",
       "answers 412 to a namespace created again with other numbers",
       {"CP-03"},
       switched([](emulator::Behaviour& behaviour) { behaviour.namespace_conflict_status = 412; })},
      {"keeps_deleted_namespaces",
       "answers 200 to the DELETE of a namespace and keeps it",
       {"CP-04"},
       pretending("DELETE", namespaces)},
      {"keeps_shards_of_deleted_namespaces",
       "has the shards of a namespace again when it is created again",
       {"CP-05"},
       // A namespace that was deleted is hidden until it is created again.
       [](DaemonSetup& setup) {
         setup.mutation.emplace();
         auto hidden = std::make_shared<std::set<std::string>>();
         setup.mutation->request =
             [hidden](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
           if (!head.target.starts_with(namespaces) && !head.target.starts_with(shards))
             return std::nullopt;
           const std::string name = name_in(head);
           if (is(head, "DELETE", namespaces) && hidden->insert(name).second)
             return ResponseMessage::of(200);
           if (is(head, "POST", namespaces)) hidden->erase(name);
           return hidden->contains(name) ? std::optional(ResponseMessage::of(404)) : std::nullopt;
         };
       }},
      {"tells_other_member_names",
       "tells the numbers of a namespace under other names",
       {"CP-01"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (is(request.head, "GET", namespaces))
           replace(response.body, "steps_to_retain_per_rank", "steps_retained");
       })},
      {"answers_204_to_absent_namespaces",
       "answers the GET of an absent namespace with 204",
       {"CP-02"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (!is(request.head, "GET", namespaces) || response.status != 404) return;
         response = ResponseMessage::of(204);
         response.remove("Content-Length");
       })},
      {"flips_a_bit_of_a_shard", "changes one bit of a shard", {"CP-06"}, flips_a_bit_of_a_shard},
      {"takes_ranks_for_one",
       "keeps one shard for all ranks of a step",
       {"CP-06", "CP-14", "CP-15"},
       asking([](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
         if (head.target.starts_with(shards) && !asks_for_latest(head))
           replace(head.target, name_in(head) + "/1/", name_in(head) + "/0/");
         return std::nullopt;
       })},
      {"rewrites_shard_meta",
       "gives Shard-Meta back without its spaces",
       {"CP-07"},
       responding([](const ReceivedRequest&, ResponseMessage& response) {
         for (auto& [name, value] : response.headers)
           if (name == "Shard-Meta") std::erase(value, ' ');
       })},
      {"forgets_shard_meta",
       "does not give Shard-Meta back",
       {"CP-07"},
       responding([](const ReceivedRequest&, ResponseMessage& response) {
         response.remove("Shard-Meta");
       })},
      {"refuses_empty_shards",
       "answers 400 to a shard of no bytes",
       {"CP-08"},
       switched([](emulator::Behaviour& behaviour) { behaviour.accept_empty_shards = false; })},
      {"answers_500_without_a_namespace",
       "answers 500 to a shard for a namespace that is not there",
       {"CP-09"},
       switched([](emulator::Behaviour& behaviour) { behaviour.absent_namespace_status = 500; })},
      {"answers_404_to_impossible_ranks",
       "answers 404 to a rank or step that cannot be",
       {"CP-10"},
       switched([](emulator::Behaviour& behaviour) { behaviour.shard_address_status = 404; })},
      {"never_replaces_shards",
       "answers 409 to a shard that is there already",
       {"CP-11"},
       switched([](emulator::Behaviour& behaviour) { behaviour.replace_shards = false; })},
      {"drops_a_shard_that_is_being_replaced",
       "removes a shard when another POST of it begins",
       {"CP-11", "CP-12"},
       drops_a_shard_that_is_being_replaced},
      {"stores_shards_cut_short",
       "stores a shard whose client went away, filled up with zeros",
       {"CP-12"},
       stores_shards_cut_short},
      {"believes_checksums",
       "stores shards that do not fit their checksum",
       {"CP-13"},
       switched([](emulator::Behaviour& behaviour) { behaviour.check_shards = false; })},
      {"answers_204_to_absent_shards",
       "answers the GET of an absent shard with 204",
       {"CP-14"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (!is(request.head, "GET", shards) || response.status != 404) return;
         response = ResponseMessage::of(204);
         response.remove("Content-Length");
       })},
      {"keeps_deleted_shards",
       "answers 200 to the DELETE of a shard and keeps it",
       {"CP-15"},
       pretending("DELETE", shards)},
      {"wraps_the_latest_steps",
       "tells the latest steps in an object",
       {"CP-16"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (!asks_for_latest(request.head) || response.status != 200) return;
         response = ResponseMessage::of(200, "{\"steps\":" + response.body + "}");
       })},
      {"ignores_the_limit",
       "tells all steps, whatever the limit",
       {"CP-16"},
       asking([](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
         if (asks_for_latest(head)) head.set_parameter("limit", "1000");
         return std::nullopt;
       })},
      {"counts_incomplete_steps",
       "tells steps that not all ranks have stored",
       {"CP-17"},
       switched([](emulator::Behaviour& behaviour) { behaviour.latest_counts_incomplete = true; })},
      {"keeps_all_steps",
       "keeps steps beyond steps_retained",
       {"CP-18"},
       switched([](emulator::Behaviour& behaviour) { behaviour.retire_steps = false; })},
      {"decodes_namespaces_twice",
       "decodes the names of namespaces twice",
       {"CP-19"},
       asking([](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
         if (head.target.starts_with("/v1/cp/")) replace(head.target, "%25", "%");
         return std::nullopt;
       })},
      {"refuses_spaces_in_namespaces",
       "answers 400 to a namespace whose name has a space",
       {"CP-19"},
       asking([](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
         if (head.target.starts_with("/v1/cp/") && head.target.find("%20") != std::string::npos)
           return ResponseMessage::of(400);
         return std::nullopt;
       })},
      {"evicts_shards", "evicts a shard for KV objects", {"CP-20"}, evicts_shards},
      {"answers_500_without_room_for_a_shard",
       "answers 500 where there is no room for a shard",
       {"CP-21"},
       switched([](emulator::Behaviour& behaviour) { behaviour.no_room_status = 500; })},
      {"answers_404_to_a_reset",
       "does not have the reset",
       {"CP-22"},
       responding([](const ReceivedRequest& request, ResponseMessage& response) {
         if (is(request.head, "POST", "/v1/cp/cluster/reset")) response = ResponseMessage::of(404);
       })},
      {"resets_nothing",
       "answers 200 to a reset and keeps everything",
       {"CP-22"},
       pretending("POST", "/v1/cp/cluster/reset")},
  };
}

}  // namespace hyperpod::conformance::defects
