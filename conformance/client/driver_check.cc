// SPDX-License-Identifier: Apache-2.0
#include "client/driver_check.h"

#include <algorithm>
#include <memory>
#include <set>

#include "client/driver_dialogue.h"
#include "client/payload.h"
#include "client/process_sockets.h"
#include "client/test_daemon.h"
#include "probe/segment.h"

namespace hyperpod::conformance::client {
namespace {

using namespace std::chrono_literals;

/// For what the daemon learns a moment later than the client.
constexpr Duration settling = 2s;
const std::string bucket = "driver-check";
const std::string other_bucket = "driver-check-2";

const std::set<std::string> known_operations{
    "hello",          "configure",  "put",   "get",   "exists", "batch_put", "batch_get",
    "batch_contains", "concurrent", "stats", "close", "fork",   "raise"};
const std::set<std::string> known_parameters{"max_concurrent_requests",
                                             "max_connections",
                                             "max_connections_per_host",
                                             "timeout_ms",
                                             "lease_ttl_s",
                                             "put_stream_chunk_bytes",
                                             "save_chunk_meta",
                                             "lease_wait_timeout_ms",
                                             "max_lease_size_mb"};
const std::set<std::string> counters{"get_success", "get_failure",     "put_success",
                                     "put_failure", "leases_acquired", "leases_released",
                                     "connections", "in_flight",       "queued"};

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

bool is_sha256(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// One examination: of a driver's process, then of further ones that it is started as.
class Examiner {
 public:
  Examiner(const DriverCheckOptions& options, DriverCheck& check)
      : options_(options),
        check_(check),
        dialogue_(options, check),
        daemon_(std::make_unique<TestDaemon>(TestDaemon::Configure{}, transcript_)) {}

  void examine() {
    dialogue_.start();
    say_hello();
    without_client();
    configure(bucket, {{"save_chunk_meta", false}});
    single_operations();
    batches();
    concurrent();
    stats();
    nonsense();
    header_on_demand();
    configure_again();
    close();
    end_of_input("close");
    end_with_open_client();
    raise();
    check_.complete = true;
  }

 private:
  // --- What is found

  void wrong(const std::string& expected, const std::string& came) {
    dialogue_.wrong(expected, came);
  }

  void hint(const std::string& expected, const std::string& came) {
    dialogue_.note(DriverFinding::Weight::hint, expected, came);
  }

  bool offers(const std::string& operation) const { return operations_.contains(operation); }

  // --- Answers

  /// The outcome in `result`, which has to be one of `allowed`; "" if it is none.
  std::string outcome_in(const Json& result, const std::set<std::string>& allowed,
                         const std::string& place = "") {
    const Json outcome = result.is_object() ? result.value("outcome", Json()) : Json();
    if (!outcome.is_string() || !allowed.contains(outcome.get<std::string>())) {
      std::string list;
      for (const std::string& one : allowed) list += (list.empty() ? "" : ", ") + one;
      wrong(place + "\"outcome\", one of " + list, result.dump());
      return "";
    }
    if (result.contains("detail") && !result["detail"].is_string())
      wrong(place + "\"detail\", a string", result.dump());
    return outcome.get<std::string>();
  }

  void expect_outcome(const Json& result, const std::string& wanted,
                      const std::set<std::string>& allowed, const std::string& place = "") {
    const std::string outcome = outcome_in(result, allowed, place);
    const bool untold = outcome == "not_told" && wanted == "stored";
    if (!outcome.empty() && outcome != wanted && !untold)
      wrong(place + "the outcome " + wanted, result.dump());
  }

  void expect_stored(const Json& result, const std::string& place = "") {
    expect_outcome(result, "stored", {"stored", "exists", "not_told", "error"}, place);
  }

  void expect_payload(const Json& result, std::uint64_t seed, std::uint64_t size,
                      const std::string& place = "") {
    if (outcome_in(result, {"hit", "miss", "error"}, place) != "hit") {
      if (result.contains("outcome"))
        wrong(place + "a hit, for the object is there", result.dump());
      return;
    }
    if (!result.value("size", Json()).is_number_unsigned() || result["size"] != size)
      wrong(place + "\"size\": " + std::to_string(size), result.dump());
    const std::string expected = sha256_hex(payload(seed, size));
    if (!is_sha256(result.value("sha256", Json()))) {
      wrong(place + "\"sha256\", 64 hexadecimal digits in lower case", result.dump());
    } else if (result["sha256"] != expected) {
      wrong(place + "the sha256 of the payload, " + expected, result.dump());
    }
  }

  void expect_absent(const Json& result, const std::string& place = "") {
    if (outcome_in(result, {"hit", "miss", "error"}, place) == "hit")
      wrong(place + "a miss, for nothing was stored there", result.dump());
  }

  /// `results` of a response; empty, and noted, if there are not `count`.
  std::vector<Json> results_in(const Json& response, std::size_t count) {
    if (response.empty()) return {};
    const Json results = response.value("results", Json());
    if (!results.is_array() || results.size() != count) {
      wrong("\"results\", an array of " + std::to_string(count), response.dump());
      return {};
    }
    return results.get<std::vector<Json>>();
  }

  static std::string at(std::size_t i) { return "in results, at " + std::to_string(i) + ": "; }

  // --- The daemon's side

  /// Whether chunks have a header, given what the client was told of save_chunk_meta.
  bool has_header(bool save_chunk_meta) const {
    return header_ == "always" || (header_ == "configurable" && save_chunk_meta);
  }

  void store(const std::string& key, std::uint64_t seed, std::uint64_t size) {
    const std::string bytes = payload(seed, size);
    daemon_->store(bucket, key, has_header(false) ? chunk_header(size) + bytes : bytes);
  }

  /// What the client has stored must be what docs/drivers.md says, byte for byte.
  void expect_object(const std::string& in_bucket, const std::string& key, std::uint64_t seed,
                     std::uint64_t size, bool header) {
    const auto state = daemon_->emulator().state();
    const auto object = std::ranges::find_if(state.objects, [&](const auto& candidate) {
      return candidate.bucket == in_bucket && candidate.key == key;
    });
    if (object == state.objects.end()) {
      std::string others;
      for (const auto& candidate : state.objects)
        others += " " + candidate.bucket + "/" + candidate.key;
      wrong("an object in the daemon as " + in_bucket + "/" + key,
            others.empty() ? "none at all" : "these:" + others);
      return;
    }
    std::vector<Fragment> fragments;
    for (const auto& [offset, length] : object->fragments) fragments.push_back({offset, length});
    const auto segment = Segment::open(daemon_->shm_name());
    const auto bytes = segment ? segment->read(fragments) : tl::unexpected(segment.error());
    if (!bytes) throw SuiteFailure{bytes.error().message};
    compare(*bytes, payload(seed, size), size, header);
  }

  void compare(const std::string& bytes, const std::string& expected_payload, std::uint64_t size,
               bool header) {
    const std::string head = header ? chunk_header(size) : "";
    const std::string expected = head + expected_payload;
    if (bytes == expected) return;
    const std::string what =
        "an object of " + (header ? std::string("header and payload") : "the payload alone");
    if (header && bytes == expected_payload) return wrong(what, "the payload without a header");
    if (!header && bytes == chunk_header(size) + expected_payload)
      return wrong(what, "a header in front of it");
    if (bytes.size() != expected.size()) {
      return wrong(what + ", " + std::to_string(expected.size()) + " bytes",
                   std::to_string(bytes.size()) + " bytes");
    }
    const auto place =
        static_cast<std::size_t>(std::ranges::mismatch(bytes, expected).in1 - bytes.begin());
    const std::string where = place < head.size() ? "of the header" : "of the object";
    wrong(what + ", from byte " + std::to_string(place) + " " + where + " on " +
              hex(std::string_view(expected).substr(place, 16)),
          hex(std::string_view(bytes).substr(place, 16)));
  }

  bool all_closed(const std::set<std::uint64_t>& of) {
    return daemon_->reaches(
        [&] {
          return std::ranges::all_of(daemon_->connections(), [&](const auto& life) {
            return life.closed.has_value() || !of.contains(life.connection);
          });
        },
        settling);
  }

  std::set<std::uint64_t> open_connections() {
    std::set<std::uint64_t> open;
    for (const auto& life : daemon_->connections()) {
      if (!life.closed) open.insert(life.connection);
    }
    return open;
  }

  // --- What is examined

  void say_hello() {
    const Json response = dialogue_.exchange({{"op", "hello"}});
    if (!response.empty() && response["ok"] == true) return read_hello(response);
    if (!response.empty()) wrong("\"ok\": true", response.dump());
    throw DriverDialogue::GivenUp{};
  }

  void read_hello(const Json& response) {
    const Json client = response.value("client", Json());
    if (client.is_string()) check_.client = client.get<std::string>();
    if (check_.client.empty())
      wrong("\"client\", the name and version of the client", response.dump());
    operations_ = words_in(response, "operations", known_operations);
    parameters_ = words_in(response, "parameters", known_parameters);
    const Json header = response.value("header", Json());
    if (header == "never" || header == "always" || header == "configurable") {
      header_ = header.get<std::string>();
    } else {
      wrong(R"("header", one of never, always, configurable)", response.dump());
    }
    if (header_ == "configurable" && !parameters_.contains("save_chunk_meta"))
      wrong("save_chunk_meta among \"parameters\", for \"header\" is configurable",
            response.dump());
    // The other three go without saying.
    for (const char* operation : {"hello", "configure", "close"}) operations_.insert(operation);
    for (const char* operation : {"put", "get"}) {
      if (!offers(operation))
        wrong(std::string(operation) + " among \"operations\"", response.dump());
    }
    for (const std::string& operation : known_operations) {
      if (!offers(operation)) check_.not_offered.push_back(operation);
    }
  }

  std::set<std::string> words_in(const Json& response, const char* name,
                                 const std::set<std::string>& known) {
    std::set<std::string> words;
    const Json list = response.value(name, Json());
    const bool proper = list.is_array() && std::ranges::all_of(list, [](const Json& word) {
                          return word.is_string();
                        });
    if (!proper) {
      wrong("\"" + std::string(name) + "\", an array of strings", response.dump());
      return words;
    }
    for (const Json& word : list) words.insert(word.get<std::string>());
    for (const std::string& word : words) {
      if (!known.contains(word))
        wrong("in \"" + std::string(name) + "\" nothing but names of docs/drivers.md", word);
    }
    return words;
  }

  void without_client() {
    if (!offers("put")) return;
    const Json response =
        dialogue_.exchange({{"op", "put"}, {"key", "early"}, {"size", 64}, {"seed", 1}});
    if (!response.empty() && response["ok"] != false)
      wrong("\"ok\": false, for there is no client before configure", response.dump());
  }

  void configure(const std::string& into, const Json& parameters) {
    Json command{{"op", "configure"},
                 {"url", daemon_->url()},
                 {"bucket", into},
                 {"segment", daemon_->shm_name()},
                 {"a_member_of_later_times", "to be ignored"}};
    Json all{{"timeout_ms", 2000}, {"lease_wait_timeout_ms", 200}};
    all.update(parameters);
    for (const auto& [name, value] : all.items()) {
      if (parameters_.contains(name)) command[name] = value;
    }
    if (dialogue_.carry_out(command).empty())
      throw DriverDialogue::GivenUp{};  // and so there is no client to go on with
  }

  void single_operations() {
    constexpr std::uint64_t large = 66'002;           // no whole number of blocks
    constexpr std::uint64_t great_seed = 4294967311;  // does not fit into 32 bits
    daemon_->begin();
    if (offers("put")) {
      put("one", large, 7);
      put("two", 2, great_seed);
      const Json again = dialogue_.carry_out(put_of("one", large, 7));
      if (!again.empty() && outcome_in(again, {"stored", "exists", "not_told", "error"}) == "error")
        wrong("stored or exists, for the key is there", again.dump());
    }
    who_is_connected();
    store("three", 11, large);
    if (offers("get")) {
      if (offers("put")) {
        get("one", large, 7);
        get("two", 2, great_seed);
      }
      get("three", large, 11);
      const Json absent = dialogue_.carry_out(get_of("absent", 4096));
      if (!absent.empty()) expect_absent(absent);
    }
    if (offers("exists")) {
      const Json there = dialogue_.carry_out({{"op", "exists"}, {"key", "three"}});
      if (!there.empty()) expect_outcome(there, "hit", {"hit", "miss", "error"});
      const Json absent = dialogue_.carry_out({{"op", "exists"}, {"key", "absent"}});
      if (!absent.empty()) expect_absent(absent);
    }
  }

  static Json put_of(const std::string& key, std::uint64_t size, std::uint64_t seed) {
    return {{"op", "put"}, {"key", key}, {"size", size}, {"seed", seed}};
  }

  static Json get_of(const std::string& key, std::uint64_t size) {
    return {{"op", "get"}, {"key", key}, {"size", size}};
  }

  void put(const std::string& key, std::uint64_t size, std::uint64_t seed) {
    const Json response = dialogue_.carry_out(put_of(key, size, seed));
    if (response.empty()) return;
    expect_stored(response);
    expect_object(bucket, key, seed, size, has_header(false));
  }

  void get(const std::string& key, std::uint64_t size, std::uint64_t seed) {
    const Json response = dialogue_.carry_out(get_of(key, size));
    if (!response.empty()) expect_payload(response, seed, size);
  }

  /// The suite stops and kills the process that it started: the client must be in it.
  void who_is_connected() {
    if (owns_all_connections(dialogue_.process().pid(), daemon_->emulator().port())) return;
    dialogue_.turn_to("the command \"" + options_.command + "\"");
    wrong("the process that it starts to be the one that is connected to the daemon",
          "connections of another process; where a shell starts it, let it exec");
  }

  void batches() {
    constexpr std::uint64_t size = 4096;
    const auto key = [](std::size_t i) { return "batch-" + std::to_string(i); };
    constexpr std::size_t count = 3;
    Json puts = Json::array();
    Json gets = Json::array();
    for (std::size_t i = 0; i < count; ++i) {
      puts.push_back({{"key", key(i)}, {"size", size}, {"seed", 20 + i}});
      gets.insert(gets.begin(), Json{{"key", key(i)}, {"size", size}});
    }
    if (offers("batch_put")) {
      const auto results =
          results_in(dialogue_.carry_out({{"op", "batch_put"}, {"items", puts}}), count);
      for (std::size_t i = 0; i < results.size(); ++i) {
        expect_stored(results[i], at(i));
        expect_object(bucket, key(i), 20 + i, size, has_header(false));
      }
    } else {
      for (std::size_t i = 0; i < count; ++i) store(key(i), 20 + i, size);
    }
    if (offers("batch_get")) {
      const auto results =
          results_in(dialogue_.carry_out({{"op", "batch_get"}, {"items", gets}}), count);
      for (std::size_t i = 0; i < results.size(); ++i)
        expect_payload(results[i], 20 + count - 1 - i, size, at(i));
    }
    if (offers("batch_contains")) {
      const Json response =
          dialogue_.carry_out({{"op", "batch_contains"}, {"keys", {key(0), key(1), key(2)}}});
      if (!response.empty() && response.value("hits", Json()) != 3)
        wrong("\"hits\": 3", response.dump());
    }
  }

  void concurrent() {
    if (!offers("concurrent") || !offers("put") || !offers("get")) return;
    daemon_->begin();
    emulator::Effects effects;
    effects.delay = emulator::Delay{.low = 200ms};
    emulator::Fault slow;
    slow.script = {effects};
    daemon_->add_fault(slow);
    const bool answered = put_and_get_at_once("at-once-");
    daemon_->emulator().faults().clear();
    const int peak = daemon_->usage()[bucket].peak_requests();
    if (answered && peak < 2) {
      wrong("all operations under way at once",
            "never more than " + std::to_string(peak) + " request in flight");
    }
    in_order();
  }

  /// Where one request is in flight at a time, they arrive as the operations entered the client.
  void in_order() {
    if (!parameters_.contains("max_concurrent_requests")) return;
    configure(bucket, {{"save_chunk_meta", false}, {"max_concurrent_requests", 1}});
    daemon_->begin();
    if (!put_and_get_at_once("in-order-")) return;
    const auto sent = daemon_->requests(emulator::JournalOperation::put);
    if (std::ranges::is_sorted(sent, {}, &emulator::JournalEntry::key)) return;
    std::string order;
    for (const auto& entry : sent) order += " " + entry.key;
    hint("operations begun in order, as far as the language allows",
         "with max_concurrent_requests 1 puts that arrived in another:" + order);
  }

  /// False if there were no proper results.
  bool put_and_get_at_once(const std::string& prefix) {
    constexpr std::uint64_t size = 4096;
    constexpr std::size_t puts = 6;
    Json operations = Json::array();
    for (std::size_t i = 0; i < puts; ++i)
      operations.push_back(put_of(prefix + std::to_string(i), size, 40 + i));
    operations.push_back(get_of("three", 66'002));
    const auto results = results_in(
        dialogue_.carry_out({{"op", "concurrent"}, {"operations", operations}}), operations.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (i < puts) {
        expect_stored(results[i], at(i));
      } else {
        expect_payload(results[i], 11, 66'002, at(i));
      }
    }
    return !results.empty();
  }

  void stats() {
    if (!offers("stats")) return;
    const Json response = dialogue_.carry_out({{"op", "stats"}});
    for (const auto& [name, value] : response.items()) {
      if (name == "id" || name == "ok") continue;
      if (name == "circuit_open") {
        if (!value.is_boolean()) wrong("\"circuit_open\", true or false", response.dump());
      } else if (!counters.contains(name)) {
        hint("counts by the names of docs/drivers.md", name);
      } else if (!value.is_number_unsigned()) {
        wrong("\"" + name + "\", a whole number", response.dump());
      }
    }
  }

  /// What no suite sends on purpose, and drivers live through all the same.
  void nonsense() {
    const Json response = dialogue_.exchange({{"op", "no_such_operation"}});
    if (!response.empty() &&
        (response["ok"] != false || response.value("unsupported", Json()) != true))
      wrong(R"("ok": false, "unsupported": true)", response.dump());
    for (const std::string& operation : check_.not_offered) {
      // No response is due to this one, which ends the process.
      if (operation == "raise" || operation == "hello" || operation == "configure") continue;
      const Json left_out = dialogue_.exchange({{"op", operation}});
      if (!left_out.empty() && left_out.value("unsupported", Json()) != true)
        wrong("\"unsupported\": true, for hello does not list the operation", left_out.dump());
    }
    dialogue_.expect_refusal("this is no JSON", nullptr, "the line is not JSON");
    dialogue_.expect_refusal("[1, 2]", nullptr, "the line is not an object");
    if (!offers("get")) return;
    const Json id = dialogue_.fresh_id();
    dialogue_.expect_refusal(Json{{"id", id}, {"op", "get"}, {"size", 4}}.dump(), id,
                             "\"key\" is missing");
  }

  void header_on_demand() {
    if (header_ != "configurable" || !offers("put")) return;
    configure(bucket, {{"save_chunk_meta", true}});
    constexpr std::uint64_t size = 4096;
    const Json response = dialogue_.carry_out(put_of("with-header", size, 60));
    if (response.empty()) return;
    expect_stored(response);
    expect_object(bucket, "with-header", 60, size, true);
    if (offers("get")) get("with-header", size, 60);
  }

  void configure_again() {
    const auto before = open_connections();
    configure(other_bucket, {{"save_chunk_meta", false}});
    if (!all_closed(before))
      hint("the client before to be closed, and its connections", "some that are open still");
    if (!offers("put")) return;
    const Json response = dialogue_.carry_out(put_of("elsewhere", 64, 61));
    if (response.empty()) return;
    expect_stored(response);
    expect_object(other_bucket, "elsewhere", 61, 64, has_header(false));
  }

  void close() {
    if (!offers("close") || dialogue_.carry_out({{"op", "close"}}).empty()) return;
    if (!all_closed(open_connections()))
      hint("the client's connections to be closed", "some that are open still");
    if (const auto live = daemon_->statistics().live_leases; live > 0) {
      hint("the client's leases to be released", std::to_string(live) + " that are live still");
    }
    if (dialogue_.carry_out({{"op", "close"}}).empty()) return;  // a second one finds nothing to do
  }

  void end_of_input(const std::string& after) {
    dialogue_.expect_silence();
    dialogue_.turn_to("the end of standard input after " + after);
    dialogue_.process().finish_input();
    const auto status = dialogue_.process().wait(options_.patience);
    if (!status) return wrong("the driver to exit within " + in_ms(options_.patience), "nothing");
    if (*status != 0) wrong("exit code 0", end_told(*status));
    dialogue_.expect_silence();
  }

  /// A second process, whose client is at work when the end comes.
  void end_with_open_client() {
    start_over();
    if (offers("get")) (void)dialogue_.carry_out(get_of("three", 66'002));
    const auto open = open_connections();
    end_of_input("get");
    if (!all_closed(open)) hint("all connections closed", "some that are open still");
  }

  /// With another daemon: some clients unlink the segment when they end, or a moment later.
  void start_over() {
    daemon_ = std::make_unique<TestDaemon>(TestDaemon::Configure{}, transcript_);
    store("three", 11, 66'002);
    dialogue_.start();
    (void)dialogue_.carry_out({{"op", "hello"}});
    configure(bucket, {{"save_chunk_meta", false}});
  }

  void raise() {
    if (!offers("raise")) return;
    start_over();
    Driver& process = dialogue_.process();
    dialogue_.turn_to("raise");
    const Json command{{"id", dialogue_.fresh_id()}, {"op", "raise"}};
    const auto sent = process.send_line(command.dump(), options_.patience);
    const auto received =
        sent ? process.receive_line(options_.patience) : tl::unexpected(sent.error());
    if (received) return wrong("no response, but the end by an exception", *received);
    const auto status = process.wait(options_.patience);
    if (!status) return wrong("the driver to end within " + in_ms(options_.patience), "nothing");
    if (*status == 0) wrong("an end by an exception that nobody catches", end_told(*status));
  }

  const DriverCheckOptions& options_;
  DriverCheck& check_;
  DriverDialogue dialogue_;
  Transcript transcript_;
  std::unique_ptr<TestDaemon> daemon_;
  // As hello tells.
  std::set<std::string> operations_;
  std::set<std::string> parameters_;
  std::string header_ = "never";
};

}  // namespace

std::string DriverFinding::line() const {
  return std::string(weight == Weight::wrong ? "wrong" : "hint") + ": upon " + sent + " expected " +
         expected + ", but came " + came;
}

bool DriverCheck::passed() const {
  const auto weighs = [](const DriverFinding& finding) {
    return finding.weight == DriverFinding::Weight::wrong;
  };
  return complete && std::ranges::none_of(findings, weighs);
}

std::string DriverCheck::text() const {
  std::string text;
  for (const DriverFinding& finding : findings) text += finding.line() + "\n";
  if (!passed() && !error_output.empty())
    text += "It said on standard error: " + error_output + "\n";
  if (!not_offered.empty()) {
    text += "Not offered, and so not examined:";
    for (const std::string& operation : not_offered) text += " " + operation;
    text += "\n";
  }
  if (not_installed) return text + "The driver says that its client is not installed.\n";
  const std::string whose = client.empty() ? "The driver" : "The driver of " + client;
  if (passed()) return text + whose + " keeps docs/drivers.md.\n";
  return text + whose + " does not keep docs/drivers.md" +
         (complete ? ".\n" : ", and could not be examined to the end.\n");
}

Result<DriverCheck> check_driver(const DriverCheckOptions& options) {
  DriverCheck check;
  try {
    Examiner examiner(options, check);
    try {
      examiner.examine();
    } catch (const DriverDialogue::GivenUp&) {
    }
  } catch (const SuiteFailure& failure) {
    return tl::unexpected(Error{ErrorCode::failed, failure.what});
  } catch (const Violation& violation) {  // of the suite's own daemon
    return tl::unexpected(Error{ErrorCode::failed, violation.seen});
  }
  return check;
}

}  // namespace hyperpod::conformance::client
