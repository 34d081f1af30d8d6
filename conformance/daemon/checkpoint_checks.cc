// SPDX-License-Identifier: Apache-2.0
// Checkpoints: namespaces, shards, what counts as complete, and what is kept. Where the daemon has
// no such API, which the POST of a namespace tells, the chapter is left out.
#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <thread>

#include "daemon/chapters.h"
#include "probe/json.h"

namespace hyperpod::conformance::daemon {
namespace {

using namespace std::chrono_literals;

constexpr const char* no_api =
    "the daemon has no checkpoint API: the POST of a new namespace was answered 404";

// The first fits five bytes "hello", as python3-xxhash and base64 give it.
constexpr std::string_view hello_meta =
    R"({"checksum": "tenBrQcbPn/Hec+qXlI4GA==", "algorithm": "xxh3_128"})";

bool is_success(const Response& response) { return response.status < 400; }

/// A step as the client reads it, int(step) in Python: a number, or a text of digits.
std::optional<std::uint64_t> number_in(const JsonValue& step) {
  if (step.kind == JsonValue::Kind::number) return step.unsigned_integer();
  if (step.kind != JsonValue::Kind::string) return std::nullopt;
  const std::string text = step.string();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// A namespace of the check's own, which goes with this object.
class Namespace {
 public:
  /// Skips the check where there is no checkpoint API.
  Namespace(Check& check, int ranks, int steps, std::string_view suffix = "")
      : check_(check),
        session_(check.connect()),
        name_(check.fresh_name(suffix).key),
        created_(session_.ask({"POST", creation(ranks, steps), {}, ""})) {
    if (created_.status == 404) check.skip(no_api);
    check.expect(is_success(created_), "a success to the POST of a new namespace",
                 described(created_));
  }
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;
  ~Namespace() {
    try {
      (void)session_.ask({"DELETE", target(), {}, ""});
    } catch (...) {  // what a daemon that has gone keeps is not this check's to judge
    }
  }

  std::string target() const { return "/v1/cp/namespaces/" + name_; }
  std::string creation(int ranks, int steps) const {
    return target() + "?num_ranks=" + std::to_string(ranks) +
           "&steps_retained=" + std::to_string(steps);
  }
  std::string shard(std::string_view rank, std::string_view step) const {
    return "/v1/cp/checkpoints/" + name_ + "/" + std::string(rank) + "/" + std::string(step);
  }
  std::string shard(int rank, int step) const {
    return shard(std::to_string(rank), std::to_string(step));
  }

  Response post(const std::string& what) { return session_.ask({"POST", what, {}, ""}); }
  Response get(const std::string& what) { return session_.ask({"GET", what, {}, ""}); }
  Response remove(const std::string& what) { return session_.ask({"DELETE", what, {}, ""}); }

  Response save(const std::string& shard, std::string_view body, std::string_view meta = "") {
    Request request{"POST", shard, {}, body};
    if (!meta.empty()) request.headers.emplace_back("Shard-Meta", meta);
    return session_.ask(request);
  }
  void must_save(const std::string& shard, std::string_view body, std::string_view meta = "") {
    const Response response = save(shard, body, meta);
    check_.expect(is_success(response),
                  "a success to the POST of a shard of " + std::to_string(body.size()) + " bytes",
                  described(response));
  }

  void expect_shard(const std::string& shard, std::string_view body, std::string_view when = "") {
    const Response response = get(shard);
    check_.expect(response.status == 200, "200 to the GET of a shard" + after(when),
                  described(response));
    check_.expect(response.body == body, "the shard's bytes" + after(when),
                  std::to_string(response.body.size()) + " bytes, and not those of the shard");
  }
  void expect_absent(const std::string& what, std::string_view when) {
    const Response response = get(what);
    check_.expect(response.status == 404, "404" + after(when), described(response));
  }

  /// Newest first. `limit` as the client sends it.
  std::vector<std::uint64_t> latest(int limit) {
    const Response response =
        get("/v1/cp/checkpoints/" + name_ + "/latest?limit=" + std::to_string(limit));
    if (response.status == 404) return {};
    check_.expect(response.status == 200, "200 or 404 to a GET of the latest steps",
                  described(response));
    const auto steps = parse_json(response.body);
    check_.expect(steps && steps->kind == JsonValue::Kind::array, "a JSON array of steps",
                  described(response));
    std::set<std::uint64_t, std::greater<>> numbers;
    for (const JsonValue& step : steps->elements) {
      const auto number = number_in(step);
      check_.expect(number.has_value(), "steps that are whole numbers",
                    "the step " + std::string(step.text));
      numbers.insert(*number);
    }
    return {numbers.begin(), numbers.end()};
  }

  Session& session() { return session_; }
  const Response& created() const { return created_; }

 private:
  static std::string after(std::string_view when) {
    return when.empty() ? std::string() : " " + std::string(when);
  }

  Check& check_;
  Session session_;
  const std::string name_;
  const Response created_;
};

std::string text_of(const std::vector<std::uint64_t>& steps) {
  std::string text = "the steps";
  for (const std::uint64_t step : steps) text += " " + std::to_string(step);
  return steps.empty() ? "no step" : text;
}

void expect_numbers(Check& check, Namespace& names, int ranks, int steps, std::string_view when) {
  const Response response = names.get(names.target());
  check.expect(response.status == 200, "200 to the GET of a namespace " + std::string(when),
               described(response));
  const auto told = parse_json(response.body);
  const auto tells = [&](std::string_view name, int number) {
    const JsonValue* const value = told ? told->find(name) : nullptr;
    return value != nullptr && value->unsigned_integer() == static_cast<std::uint64_t>(number);
  };
  const bool right = tells("num_ranks", ranks) && tells("steps_to_retain_per_rank", steps);
  check.expect(right,
               "num_ranks " + std::to_string(ranks) + " and steps_to_retain_per_rank " +
                   std::to_string(steps) + " " + std::string(when),
               response.body.substr(0, 200));
}

void namespace_tells_its_numbers(Check& check) {
  Namespace names(check, 3, 4);
  expect_numbers(check, names, 3, 4, "after it was created");
}

void absent_namespace_is_404(Check& check) {
  Namespace names(check, 1, 1);
  names.expect_absent("/v1/cp/namespaces/" + check.fresh_name().key,
                      "to the GET of a namespace that nobody created");
}

void conflict_keeps_the_first_numbers(Check& check) {
  Namespace names(check, 3, 2);
  for (const auto& [ranks, steps] : {std::pair{4, 2}, {3, 5}}) {
    check.expect_status(names.post(names.creation(ranks, steps)), 409,
                        "a namespace created again with other numbers");
    expect_numbers(check, names, 3, 2, "after a conflict");
  }
}

void deleted_namespace_is_404(Check& check) {
  Namespace names(check, 2, 2);
  const Response deleted = names.remove(names.target());
  check.expect(is_success(deleted), "a success to the DELETE of a namespace", described(deleted));
  names.expect_absent(names.target(), "to the GET of a namespace that was deleted");
}

void shards_go_with_their_namespace(Check& check) {
  Namespace names(check, 1, 2);
  names.must_save(names.shard(0, 1), "x");
  (void)names.remove(names.target());
  names.expect_absent(names.shard(0, 1), "for a shard whose namespace was deleted");
  (void)names.post(names.creation(1, 2));
  names.expect_absent(names.shard(0, 1),
                      "for a shard whose namespace was deleted and created again");
}

void shards_come_back_byte_for_byte(Check& check) {
  Namespace names(check, 2, 3);
  // In a small cache a large body takes the place of what checks beside this one have stored.
  const std::size_t most = check.profile() == Profile::core ? 1u << 20 : 3'000'000u;
  for (const std::size_t size : {1u, 28u, 4096u, 100'000u, 1u << 20, (1u << 20) + 1, 3'000'000u}) {
    if (size > most) break;
    const std::string bodies[] = {check.bytes(size), check.bytes(size)};
    for (const int rank : {0, 1}) names.must_save(names.shard(rank, 7), bodies[rank]);
    for (const int rank : {0, 1}) names.expect_shard(names.shard(rank, 7), bodies[rank]);
    const Response response = names.get(names.shard(0, 7));
    check.expect(response.header("content-length") == std::to_string(size),
                 "a Content-Length with a shard", described(response));
  }
}

void shard_meta_comes_back(Check& check) {
  Namespace names(check, 1, 2);
  const auto expect_meta = [&](std::string_view meta) {
    names.must_save(names.shard(0, 1), "hello", meta);
    const Response response = names.get(names.shard(0, 1));
    check.expect(response.header("shard-meta") == meta,
                 "the header Shard-Meta as it was sent: " + std::string(meta),
                 std::string(response.header("shard-meta").value_or("no such header")));
  };
  expect_meta(hello_meta);
  expect_meta(R"({"algorithm":"none","note":"a  b, c"})");
}

void shards_may_be_empty(Check& check) {
  Namespace names(check, 1, 5);
  const Response plain = names.save(names.shard(0, 1), "");
  check.expect(is_success(plain), "a success to the POST of a shard of no bytes", described(plain));
  names.expect_shard(names.shard(0, 1), "", "of no bytes");
  // As python3-requests sends an empty file.
  names.session().send_raw("POST " + names.shard(0, 2) +
                           " HTTP/1.1\r\nHost: " + check.target().endpoint.authority() +
                           "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  const Response chunked = names.session().response();
  check.expect(is_success(chunked), "a success to an empty body with chunked transfer coding",
               described(chunked));
  names.expect_shard(names.shard(0, 2), "", "of no bytes");
}

void shard_without_namespace_is_404(Check& check) {
  Namespace names(check, 1, 1);
  const std::string other = "/v1/cp/checkpoints/" + check.fresh_name().key + "/0/1";
  check.expect_status(names.save(other, "x"), 404, "a shard for a namespace that is not there");
}

void impossible_ranks_and_steps_are_400(Check& check) {
  Namespace names(check, 2, 2);
  for (const std::string_view rank : {"2", "-1", "x", "1.0", "99999999999999999999999999"}) {
    check.expect_status(names.save(names.shard(rank, "1"), "x"), 400,
                        "the rank " + std::string(rank) + " of two");
  }
  for (const std::string_view step : {"-1", "x", "1.0", "99999999999999999999999999"}) {
    check.expect_status(names.save(names.shard("0", step), "x"), 400,
                        "the step " + std::string(step));
  }
}

void stored_again_is_replaced_whole(Check& check) {
  constexpr std::size_t size = 300'000;
  Namespace names(check, 1, 2);
  const std::string shard = names.shard(0, 1);
  const std::string old = check.bytes(size);
  const std::string young = check.bytes(size / 2);
  names.must_save(shard, old);
  Session storing = check.connect();
  const Request request{"POST", shard, {}, young};
  storing.send_raw(storing.head_of(request) + young.substr(0, young.size() / 2));
  std::this_thread::sleep_for(check.span(50ms));
  names.expect_shard(shard, old, "while half of another has arrived");
  storing.send_raw(std::string_view(young).substr(young.size() / 2));
  const Response stored = storing.response();
  check.expect(is_success(stored), "a success to a shard that is stored again", described(stored));
  names.expect_shard(shard, young, "that was stored again");
}

void cut_short_changes_nothing(Check& check) {
  Namespace names(check, 1, 2);
  const std::string body = check.bytes(100'000);
  const auto cut = [&](const std::string& shard) {
    Session storing = check.connect();
    const Request request{"POST", shard, {}, body};
    storing.send_raw(storing.head_of(request) + body.substr(0, body.size() / 2));
    std::this_thread::sleep_for(check.span(50ms));
    storing.reset();
    std::this_thread::sleep_for(check.span(50ms));
  };
  cut(names.shard(0, 1));
  names.expect_absent(names.shard(0, 1), "for a shard whose POST was cut short");
  names.must_save(names.shard(0, 1), "old");
  cut(names.shard(0, 1));
  names.expect_shard(names.shard(0, 1), "old", "after a POST that was cut short");
}

void checksums_are_checked(Check& check) {
  Namespace names(check, 1, 2);
  names.must_save(names.shard(0, 1), "hello", hello_meta);
  check.expect_status(names.save(names.shard(0, 1), "hellO", hello_meta), 400,
                      "a shard that does not fit its checksum");
  names.expect_shard(names.shard(0, 1), "hello", "after one that did not fit its checksum");
}

void absent_shard_is_404(Check& check) {
  Namespace names(check, 2, 2);
  names.must_save(names.shard(0, 1), "x");
  names.expect_absent(names.shard(1, 1), "to the GET of another rank's shard");
  names.expect_absent(names.shard(0, 2), "to the GET of another step's shard");
}

void deleted_shard_is_404(Check& check) {
  Namespace names(check, 2, 2);
  for (const int rank : {0, 1}) names.must_save(names.shard(rank, 1), "x");
  const Response deleted = names.remove(names.shard(0, 1));
  check.expect(is_success(deleted), "a success to the DELETE of a shard", described(deleted));
  names.expect_absent(names.shard(0, 1), "to the GET of a shard that was deleted");
  names.expect_shard(names.shard(1, 1), "x", "of a rank whose neighbour's was deleted");
}

void latest_tells_steps(Check& check) {
  Namespace names(check, 1, 9);
  const auto none = names.latest(5);
  check.expect(none.empty(), "404 or [] where there is no step", text_of(none));
  for (const int step : {9, 100, 20}) names.must_save(names.shard(0, step), "x");
  const std::vector<std::uint64_t> all{100, 20, 9};
  const auto told = names.latest(5);
  check.expect(told == all, "the steps 100, 20 and 9 in any order", text_of(told));
  const auto two = names.latest(2);
  check.expect(two.size() <= 2 && std::ranges::includes(all, two, std::greater{}) && !two.empty(),
               "at most as many steps as the limit says", text_of(two));
}

void steps_count_once_complete(Check& check) {
  Namespace names(check, 2, 5);
  for (const int rank : {0, 1}) names.must_save(names.shard(rank, 1), "x");
  names.must_save(names.shard(0, 2), "x");
  const auto half = names.latest(5);
  check.expect(half == std::vector<std::uint64_t>{1}, "only step 1, which both ranks have stored",
               text_of(half));
  names.must_save(names.shard(1, 2), "x");
  const auto whole = names.latest(5);
  check.expect(whole == std::vector<std::uint64_t>({2, 1}), "steps 2 and 1", text_of(whole));
}

void newest_steps_are_kept(Check& check) {
  Namespace names(check, 2, 2);
  for (int step = 1; step <= 4; ++step) {
    for (const int rank : {0, 1}) names.must_save(names.shard(rank, step), std::to_string(step));
  }
  names.must_save(names.shard(0, 5), "5");
  for (const int step : {1, 2}) {
    names.expect_absent(names.shard(0, step), "for a step that newer ones have taken the place of");
  }
  for (const int step : {3, 4}) {
    for (const int rank : {0, 1}) {
      names.expect_shard(names.shard(rank, step), std::to_string(step),
                         "of one of the two newest complete steps");
    }
  }
  names.expect_shard(names.shard(0, 5), "5", "of a step that is not complete yet");
}

void names_are_decoded_once(Check& check) {
  for (const std::string_view suffix :
       {"a%20b", "a.b.c", "%C3%A4%E6%97%A5%F0%9F%9A%80", "%2541", "a%2Fb"}) {
    Namespace names(check, 1, 2, suffix);
    names.must_save(names.shard(0, 1), suffix);
    names.expect_shard(names.shard(0, 1), suffix,
                       "of a namespace with the name " + std::string(suffix));
    expect_numbers(check, names, 1, 2, "with the name " + std::string(suffix));
  }
  const auto spelt = [](std::string target, std::string_view part, std::string_view other) {
    return target.replace(target.find(part), part.size(), other);
  };
  Namespace tilde(check, 1, 2, "~");
  tilde.must_save(tilde.shard(0, 1), "x");
  tilde.expect_shard(spelt(tilde.shard(0, 1), "~", "%7E"), "x",
                     "of a namespace whose name is spelt otherwise");
  Namespace percent(check, 1, 2, "%2541");
  percent.expect_absent(spelt(percent.target(), "%2541", "%41"),
                        "to the GET of a namespace whose name, decoded once more, is another's");
}

void shards_are_never_evicted(Check& check) {
  const std::uint64_t piece = std::min<std::uint64_t>(check.capacity() / 16, 8u << 20);
  Namespace names(check, 1, 2);
  const std::string shard = check.bytes(piece);
  names.must_save(names.shard(0, 1), shard);
  const std::string body = check.bytes(piece);
  for (std::uint64_t stored = 0; stored <= 2 * check.capacity(); stored += piece) {
    const Response response = names.session().put(check.fresh_name(), body);
    check.expect(response.status < 300 || response.status == 507,
                 "a KV object to be stored beside shards, or 507", described(response));
    if (response.status == 507) break;
  }
  names.expect_shard(names.shard(0, 1), shard, "after KV objects of twice the capacity");
}

void no_room_is_507(Check& check) {
  const std::uint64_t size = check.capacity() / 8 * 5;
  if (check.capacity() > 1u << 30) check.skip("the cache is too large to be filled with shards");
  Namespace names(check, 1, 9);
  names.must_save(names.shard(0, 1), "old");
  const std::string body = check.bytes(size);
  names.must_save(names.shard(0, 2), body);
  check.expect_status(names.save(names.shard(0, 1), body), 507,
                      "a shard for which there is no room");
  names.expect_shard(names.shard(0, 1), "old", "after another found no room");
  (void)names.remove(names.shard(0, 2));
  names.must_save(names.shard(0, 1), body);
}

void reset_forgets_everything(Check& check) {
  if (!check.target().allow_reset) {
    check.skip("a reset removes what others have stored; --allow-reset allows it");
  }
  Namespace names(check, 1, 2);
  names.must_save(names.shard(0, 1), "x");
  const Response reset = names.post("/v1/cp/cluster/reset");
  check.expect(is_success(reset), "a success to POST /v1/cp/cluster/reset", described(reset));
  names.expect_absent(names.target(), "to the GET of a namespace after a reset");
  names.expect_absent(names.shard(0, 1), "to the GET of a shard after a reset");
}

}  // namespace

std::span<const CheckEntry> checkpoint_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"CP-01", core, serial, namespace_tells_its_numbers},
      {"CP-02", core, serial, absent_namespace_is_404},
      {"CP-03", core, serial, conflict_keeps_the_first_numbers},
      {"CP-04", core, serial, deleted_namespace_is_404},
      {"CP-05", full, serial, shards_go_with_their_namespace},
      {"CP-06", core, serial, shards_come_back_byte_for_byte},
      {"CP-07", core, serial, shard_meta_comes_back},
      {"CP-08", full, serial, shards_may_be_empty},
      {"CP-09", full, serial, shard_without_namespace_is_404},
      {"CP-10", full, serial, impossible_ranks_and_steps_are_400},
      {"CP-11", full, serial, stored_again_is_replaced_whole},
      {"CP-12", full, serial, cut_short_changes_nothing},
      {"CP-13", full, serial, checksums_are_checked},
      {"CP-14", core, serial, absent_shard_is_404},
      {"CP-15", core, serial, deleted_shard_is_404},
      {"CP-16", core, serial, latest_tells_steps},
      {"CP-17", full, serial, steps_count_once_complete},
      {"CP-18", full, serial, newest_steps_are_kept},
      {"CP-19", core, serial, names_are_decoded_once},
      {"CP-20", full, exclusive, shards_are_never_evicted},
      {"CP-21", full, exclusive, no_room_is_507},
      {"CP-22", core, disruptive, reset_forgets_everything},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
