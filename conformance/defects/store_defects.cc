// Defects of storing.
#include <map>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

/// A lie that changes answers to PUTs.
void lie_about_puts(Making& making, std::function<void(AnswerMessage&)> change) {
  making.lie.emplace();
  making.lie->answer = [change = std::move(change)](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_put()) change(answer);
  };
}

void flips_a_bit(Making& making) {
  making.lie.emplace();
  making.lie->body = [](const Asked&, std::uint64_t at, std::span<char> part) {
    constexpr std::uint64_t place = 20'000;
    if (at <= place && place < at + part.size()) part[place - at] ^= 1;
  };
}

void answers_200_to_a_duplicate(Making& making) {
  lie_about_puts(making, [](AnswerMessage& answer) {
    if (answer.status == 409) answer = AnswerMessage::of(200);
  });
}

void overwrites(Making& making) {
  // Each PUT of a key goes to a name of its own, and leases go to the latest.
  making.lie.emplace();
  auto versions = std::make_shared<std::map<std::string, int>>();
  making.lie->request = [versions](RequestHead& head,
                                   const Asked&) -> std::optional<AnswerMessage> {
    const std::string object = head.object();
    if (head.is_put()) ++(*versions)[object];
    const auto version = versions->find(object);
    if (version == versions->end()) return std::nullopt;
    head.target.insert(object.size(), std::to_string(version->second) + "~");
    return std::nullopt;
  };
  making.lie->answer = [versions](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_put() && (*versions)[asked.head.object()] > 1)
      answer = AnswerMessage::of(409);
  };
}

void cuts_bodies_that_pause(Making& making) { making.options.limits.stall_timeout = 50ms; }

void refuses_the_clients_user_agent(Making& making) {
  making.lie.emplace();
  making.lie->request = [](RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    if (!head.header("User-Agent").value_or("").starts_with("LMCache")) return std::nullopt;
    return AnswerMessage::of(403);
  };
}

void answers_201(Making& making) {
  lie_about_puts(making, [](AnswerMessage& answer) {
    if (answer.status == 200) answer.status = 201;
  });
}

void refuses_chunked_bodies(Making& making) { making.options.behaviour.accept_chunked = false; }

void explains_errors_in_html(Making& making) {
  making.lie.emplace();
  making.lie->answer = [](const Asked&, AnswerMessage& answer) {
    if (answer.status < 400) return;
    answer.set_header("Content-Type", "text/html");
    answer.body = "<html><body>That went wrong.</body></html>";
  };
}

void gets_out_of_step_after_409(Making& making) {
  making.lie.emplace();
  making.lie->bodies_refused_unread = true;
  auto stored = std::make_shared<std::set<std::string>>();
  making.lie->request = [stored](RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    if (!head.is_put() || stored->insert(head.object()).second) return std::nullopt;
    return AnswerMessage::of(409);
  };
}

void stores_what_was_cut_short(Making& making) {
  making.lie.emplace();
  making.lie->complete_cut_bodies = true;
}

void shows_an_unfinished_put(Making& making) {
  making.lie.emplace();
  auto unfinished = std::make_shared<std::set<std::string>>();
  making.lie->request = [unfinished](RequestHead& head,
                                     const Asked&) -> std::optional<AnswerMessage> {
    if (head.is_put()) unfinished->insert(head.object());
    if (!head.is_acquire() || !unfinished->contains(head.object())) return std::nullopt;
    return AnswerMessage::of(200, R"({"id":"early","offsets":[{"offset":0,"len":4096}]})");
  };
  making.lie->answer = [unfinished](const Asked& asked, AnswerMessage&) {
    if (asked.head.is_put()) unfinished->erase(asked.head.object());
  };
}

void stores_both_of_two_puts(Making& making) {
  making.lie.emplace();
  auto last_begun = std::make_shared<std::map<std::string, Moment>>();
  making.lie->request = [last_begun](RequestHead& head,
                                     const Asked& asked) -> std::optional<AnswerMessage> {
    if (head.is_put()) (*last_begun)[head.object()] = asked.at;
    return std::nullopt;
  };
  auto last_stored = std::make_shared<std::map<std::string, Moment>>();
  making.lie->answer = [last_begun, last_stored](const Asked& asked, AnswerMessage& answer) {
    if (!asked.head.is_put()) return;
    const std::string object = asked.head.object();
    if (answer.status == 200) (*last_stored)[object] = now();
    // It was begun before the other was stored: neither knows of the other.
    if (answer.status == 409 && asked.at < (*last_stored)[object]) answer = AnswerMessage::of(200);
  };
}

void answers_411_to_an_empty_body(Making& making) {
  making.options.behaviour.empty_put_status = 411;
}
void answers_500_without_room(Making& making) { making.options.behaviour.no_room_status = 500; }
void answers_507_to_the_too_large(Making& making) {
  making.options.behaviour.too_large_status = 507;
}
void refuses_expect(Making& making) { making.options.behaviour.honour_expect = false; }

void keeps_the_room_of_cut_puts(Making& making) {
  making.lie.emplace();
  making.lie->keep_cut_connections = true;
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
      {"stores_what_was_cut_short",
       "stores a PUT whose client went away, filled up with zeros",
       {"PUT-09"},
       stores_what_was_cut_short},
      {"shows_an_unfinished_put",
       "grants leases on an object whose body is still arriving",
       {"PUT-09"},
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
  };
}

}  // namespace hyperpod::conformance
