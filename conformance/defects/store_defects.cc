// SPDX-License-Identifier: Apache-2.0
// Defects of storing.
#include <algorithm>
#include <map>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;

/// A mutation that changes answers to PUTs.
void mutate_puts(DaemonSetup& setup,
                 std::function<void(const ReceivedRequest&, ResponseMessage&)> change) {
  setup.mutation.emplace();
  setup.mutation->response = [change = std::move(change)](const ReceivedRequest& request,
                                                          ResponseMessage& response) {
    if (request.head.is_put()) change(request, response);
  };
}

void mutate_puts(DaemonSetup& setup, std::function<void(ResponseMessage&)> change) {
  mutate_puts(setup, [change = std::move(change)](const ReceivedRequest&,
                                                  ResponseMessage& response) { change(response); });
}

void flips_a_bit(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->body = [](const ReceivedRequest&, std::uint64_t at, std::span<char> part) {
    constexpr std::uint64_t place = 20'000;
    if (at <= place && place < at + part.size()) part[place - at] ^= 1;
  };
}

void loses_bytes_beyond_4_mib(DaemonSetup& setup) {
  setup.options.capacity = 64u << 20;
  setup.mutation.emplace();
  setup.mutation->body = [](const ReceivedRequest&, std::uint64_t at, std::span<char> part) {
    constexpr std::uint64_t kept = 4u << 20;
    if (at + part.size() <= kept) return;
    std::ranges::fill(part.subspan(at >= kept ? 0 : kept - at), '\0');
  };
}

/// Of all objects the 300 stored last are found.
void keeps_300_objects(DaemonSetup& setup) {
  constexpr int kept = 300;
  setup.mutation.emplace();
  auto numbers = std::make_shared<std::map<std::string, int>>();
  setup.mutation->request = [numbers](RequestHead& head,
                                      const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const auto number = numbers->find(head.object());
    if (!head.is_acquire() || number == numbers->end()) return std::nullopt;
    if (number->second + kept >= static_cast<int>(numbers->size())) return std::nullopt;
    return ResponseMessage::of(504);
  };
  setup.mutation->response = [numbers](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_put() && response.status == 200)
      numbers->emplace(request.head.object(), static_cast<int>(numbers->size()));
  };
}

/// Whatever has become of an object, its key counts as stored.
void remembers_every_key(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto stored = std::make_shared<std::set<std::string>>();
  setup.mutation->request = [stored](RequestHead& head,
                                     const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_put() || stored->insert(head.object()).second) return std::nullopt;
    return ResponseMessage::of(409);
  };
}

void answers_200_to_a_duplicate(DaemonSetup& setup) {
  mutate_puts(setup, [](ResponseMessage& response) {
    if (response.status == 409) response = ResponseMessage::of(200);
  });
}

void overwrites(DaemonSetup& setup) {
  // Each PUT of a key goes to a name of its own, and leases go to the latest.
  setup.mutation.emplace();
  auto versions = std::make_shared<std::map<std::string, int>>();
  setup.mutation->request = [versions](RequestHead& head,
                                       const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const std::string object = head.object();
    if (head.is_put()) ++(*versions)[object];
    const auto version = versions->find(object);
    if (version == versions->end()) return std::nullopt;
    head.target.insert(object.size(), std::to_string(version->second) + "~");
    return std::nullopt;
  };
  setup.mutation->response = [versions](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_put() && (*versions)[request.head.object()] > 1)
      response = ResponseMessage::of(409);
  };
}

void cuts_bodies_that_pause(DaemonSetup& setup) { setup.options.limits.stall_timeout = 50ms; }

void refuses_the_clients_user_agent(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->request = [](RequestHead& head,
                               const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.header("User-Agent").value_or("").starts_with("LMCache")) return std::nullopt;
    return ResponseMessage::of(403);
  };
}

void answers_201(DaemonSetup& setup) {
  mutate_puts(setup, [](ResponseMessage& response) {
    if (response.status == 200) response.status = 201;
  });
}

void refuses_chunked_bodies(DaemonSetup& setup) { setup.options.behaviour.accept_chunked = false; }

void explains_errors_in_html(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [](const ReceivedRequest&, ResponseMessage& response) {
    if (response.status < 400) return;
    response.set_header("Content-Type", "text/html");
    response.body = "<html><body>That went wrong.</body></html>";
  };
}

/// Of the body of a refused PUT so much is read.
void get_out_of_step_after(DaemonSetup& setup, std::uint64_t most_read) {
  setup.mutation.emplace();
  setup.mutation->most_read_of_refused = most_read;
  auto stored = std::make_shared<std::set<std::string>>();
  setup.mutation->request = [stored](RequestHead& head,
                                     const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_put() || stored->insert(head.object()).second) return std::nullopt;
    return ResponseMessage::of(409);
  };
}

void gets_out_of_step_after_409(DaemonSetup& setup) { get_out_of_step_after(setup, 0); }

void reads_16_mib_of_a_refused_body(DaemonSetup& setup) {
  setup.options.capacity = 64u << 20;
  get_out_of_step_after(setup, 16u << 20);
}

/// What was stored 12 s ago is gone unless it is leased.
void lets_objects_age(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto stored = std::make_shared<std::map<std::string, TimePoint>>();
  setup.mutation->request = [stored](
                                RequestHead& head,
                                const ReceivedRequest& request) -> std::optional<ResponseMessage> {
    const auto found = stored->find(head.object());
    if (!head.is_acquire() || found == stored->end() || request.at < found->second + 12s)
      return std::nullopt;
    return ResponseMessage::of(504);
  };
  setup.mutation->response = [stored](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_put() && response.status == 200)
      stored->emplace(request.head.object(), request.at);
  };
}

/// A PUT that finds no room has let all give way that no lease pins.
void evicts_for_what_it_refuses(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto gone = std::make_shared<std::map<std::string, bool>>();
  setup.mutation->request = [gone](RequestHead& head,
                                   const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const auto found = gone->find(head.object());
    if (!head.is_acquire() || found == gone->end() || !found->second) return std::nullopt;
    return ResponseMessage::of(504);
  };
  setup.mutation->response = [gone](const ReceivedRequest& request, ResponseMessage& response) {
    const std::string object = request.head.object();
    if (request.head.is_put() && response.status == 200) gone->emplace(object, false);
    if (request.head.is_acquire()) gone->erase(object);  // From then on leases may pin it.
    if (!request.head.is_put() || response.status != 507) return;
    for (auto& [name, is_gone] : *gone) is_gone = true;
  };
}

void stores_what_was_cut_short(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->completes_cut_body = [](std::uint64_t, std::uint64_t) { return true; };
}

void stores_what_never_began(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->completes_cut_body = [](std::uint64_t arrived, std::uint64_t) {
    return arrived == 0;
  };
}

void stores_what_lacks_a_byte(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->completes_cut_body = [](std::uint64_t, std::uint64_t missing) {
    return missing == 1;
  };
}

void does_without_the_last_chunk(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->end_cut_chunks = true;
}

/// The key as it is stands in the JSON of a 409.
void puts_keys_into_json_as_they_are(DaemonSetup& setup) {
  mutate_puts(setup, [](const ReceivedRequest& request, ResponseMessage& response) {
    if (response.status != 409) return;
    std::string key = request.head.object();
    for (auto at = key.find("%22"); at != std::string::npos; at = key.find("%22", at))
      key.replace(at, 3, "\"");
    response = ResponseMessage::of(409, R"({"error":"there is )" + key + R"("})");
  });
}

/// With the last lease on it, one object in 50 is gone.
void frees_objects_upon_release(DaemonSetup& setup) {
  setup.mutation.emplace();
  struct State {
    std::map<std::string, std::string> objects;  // By lease.
    std::map<std::string, int> leases;           // By object.
    std::set<std::string> gone;
    int ended = 0;
  };
  auto state = std::make_shared<State>();
  setup.mutation->request = [state](RequestHead& head,
                                    const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_acquire() || !state->gone.contains(head.object())) return std::nullopt;
    return ResponseMessage::of(504);
  };
  setup.mutation->response = [state](const ReceivedRequest& request, ResponseMessage& response) {
    if (response.status != 200) return;
    if (request.head.is_acquire()) {
      state->objects[id_of(response)] = request.head.object();
      ++state->leases[request.head.object()];
    }
    const auto lease = state->objects.find(request.head.lease_id());
    if (!request.head.is_release() || lease == state->objects.end()) return;
    if (--state->leases[lease->second] == 0 && ++state->ended % 50 == 0)
      state->gone.insert(lease->second);
  };
}

void shows_an_unfinished_put(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto unfinished = std::make_shared<std::set<std::string>>();
  setup.mutation->request = [unfinished](RequestHead& head,
                                         const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (head.is_put()) unfinished->insert(head.object());
    if (!head.is_acquire() || !unfinished->contains(head.object())) return std::nullopt;
    return ResponseMessage::of(200, R"({"id":"early","offsets":[{"offset":0,"len":4096}]})");
  };
  setup.mutation->response = [unfinished](const ReceivedRequest& request, ResponseMessage&) {
    if (request.head.is_put()) unfinished->erase(request.head.object());
  };
}

void stores_both_of_two_puts(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto last_begun = std::make_shared<std::map<std::string, TimePoint>>();
  setup.mutation->request = [last_begun](
                                RequestHead& head,
                                const ReceivedRequest& request) -> std::optional<ResponseMessage> {
    if (head.is_put()) (*last_begun)[head.object()] = request.at;
    return std::nullopt;
  };
  auto last_stored = std::make_shared<std::map<std::string, TimePoint>>();
  setup.mutation->response = [last_begun, last_stored](const ReceivedRequest& request,
                                                       ResponseMessage& response) {
    if (!request.head.is_put()) return;
    const std::string object = request.head.object();
    if (response.status == 200) (*last_stored)[object] = now();
    // It was begun before the other was stored: neither knows of the other.
    if (response.status == 409 && request.at < (*last_stored)[object])
      response = ResponseMessage::of(200);
  };
}

void answers_411_to_an_empty_body(DaemonSetup& setup) {
  setup.options.behaviour.empty_put_status = 411;
}
void answers_500_without_room(DaemonSetup& setup) { setup.options.behaviour.no_room_status = 500; }
void answers_507_to_the_too_large(DaemonSetup& setup) {
  setup.options.behaviour.too_large_status = 507;
}
void refuses_expect(DaemonSetup& setup) { setup.options.behaviour.honour_expect = false; }

void keeps_the_room_of_cut_puts(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->keep_cut_connections = true;
}

}  // namespace

std::vector<Defect> store_defects() {
  return {
      {"flips_a_bit", "changes one bit of a stored body", {"PUT-01"}, flips_a_bit},
      {"answers_200_to_a_duplicate",
       "answers 200 to the PUT of an existing key",
       {"PUT-02"},
       answers_200_to_a_duplicate},
      {"overwrites", "answers 409 and overwrites the object all the same", {"PUT-02"}, overwrites},
      {"cuts_bodies_that_pause",
       "gives up a body that pauses for 50 ms",
       {"PUT-03"},
       cuts_bodies_that_pause},
      {"refuses_the_clients_user_agent",
       "refuses LMCache's User-Agent",
       {"PUT-04"},
       refuses_the_clients_user_agent},
      {"answers_201", "answers 201 to a PUT that stored", {"PUT-05"}, answers_201},
      {"refuses_chunked_bodies",
       "answers 411 to chunked bodies",
       {"PUT-06"},
       refuses_chunked_bodies},
      {"explains_errors_in_html", "gives errors an HTML body", {"PUT-07"}, explains_errors_in_html},
      {"gets_out_of_step_after_409",
       "takes the body of a refused PUT for requests",
       {"PUT-08"},
       gets_out_of_step_after_409},
      {"reads_16_mib_of_a_refused_body",
       "takes what is behind 16 MiB of a refused PUT for requests",
       {"PUT-08"},
       reads_16_mib_of_a_refused_body},
      {"lets_objects_age", "lets objects vanish after 12 s", {"PUT-18"}, lets_objects_age},
      {"evicts_for_what_it_refuses",
       "evicts what no lease pins for a PUT that it answers 507",
       {"PUT-12"},
       evicts_for_what_it_refuses},
      {"stores_what_was_cut_short",
       "stores a PUT whose client went away, filled up with zeros",
       {"PUT-09", "PUT-17"},
       stores_what_was_cut_short},
      {"stores_what_never_began",
       "stores zeros for a PUT whose client went away before the first byte of the body",
       {"PUT-17"},
       stores_what_never_began},
      {"stores_what_lacks_a_byte",
       "stores a PUT of whose body the last byte did not come",
       {"PUT-17"},
       stores_what_lacks_a_byte},
      {"does_without_the_last_chunk",
       "stores a chunked body that breaks off before its last chunk",
       {"PUT-17"},
       does_without_the_last_chunk},
      {"puts_keys_into_json_as_they_are",
       "writes keys into JSON without escaping them",
       {"PUT-07"},
       puts_keys_into_json_as_they_are},
      {"frees_objects_upon_release",
       "loses an object in 50 with the last lease on it",
       {"PUT-18"},
       frees_objects_upon_release},
      {"shows_an_unfinished_put",
       "grants leases on an object whose body is still arriving",
       {"PUT-09", "PUT-17"},
       shows_an_unfinished_put},
      {"stores_both_of_two_puts",
       "answers 200 to both of two PUTs of a key at once",
       {"PUT-10"},
       stores_both_of_two_puts},
      {"answers_411_to_an_empty_body",
       "answers 411 to a PUT with an empty body",
       {"PUT-11"},
       answers_411_to_an_empty_body},
      {"answers_500_without_room",
       "answers 500 when there is no room",
       {"PUT-12"},
       answers_500_without_room},
      {"answers_507_to_the_too_large",
       "answers 507 to a PUT larger than the cache",
       {"PUT-13"},
       answers_507_to_the_too_large},
      {"refuses_expect", "answers 417 to Expect: 100-continue", {"PUT-14"}, refuses_expect},
      {"keeps_the_room_of_cut_puts",
       "never gives back what a PUT cut short had reserved",
       {"PUT-15"},
       keeps_the_room_of_cut_puts},
      {"loses_bytes_beyond_4_mib",
       "stores zeros behind the first 4 MiB of a body",
       {"PUT-16"},
       loses_bytes_beyond_4_mib},
      {"keeps_300_objects",
       "finds only the 300 objects that were stored last",
       {"PUT-18"},
       keeps_300_objects},
      {"remembers_every_key",
       "answers 409 to the PUT of a key that was evicted, or stored before a restart",
       {"PIN-05", "RESTART-06"},
       remembers_every_key},
  };
}

}  // namespace hyperpod::conformance::defects
