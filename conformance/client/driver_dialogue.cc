// SPDX-License-Identifier: Apache-2.0
#include "client/driver_dialogue.h"

#include "check/result.h"

namespace hyperpod::conformance::client {
namespace {

constexpr int not_installed = 77;
constexpr int most_passed_over = 100;
const std::string one_line = "one line in response, and no other";

bool explains(const Json& response) {
  const Json error = response.value("error", Json());
  return error.is_string() && !error.get_ref<const std::string&>().empty();
}

}  // namespace

void DriverDialogue::start() {
  keep_complaints();
  driver_.reset();
  auto driver = Driver::start({.command = options_.command});
  if (!driver) throw SuiteFailure{driver.error().message};
  driver_.emplace(*std::move(driver));
  answered_.clear();
  patience_ = options_.start_patience;
}

void DriverDialogue::note(DriverFinding::Weight weight, const std::string& expected,
                          const std::string& came) {
  check_.findings.push_back({weight, shortened(subject_), shortened(expected), shortened(came)});
}

void DriverDialogue::expect_silence() {
  while (const auto line = driver_->receive_line(Duration::zero())) wrong(one_line, *line);
}

Json DriverDialogue::exchange(const std::string& line, const Json& id) {
  expect_silence();
  subject_ = line;
  if (auto sent = driver_->send_line(line, patience_); !sent) give_up(sent.error());
  Json response = next_answer(id);
  patience_ = options_.patience;
  if (response.value("id", Json()) != id) wrong("\"id\": " + id.dump(), response.dump());
  if (!response.value("ok", Json()).is_boolean()) {
    wrong("\"ok\", true or false", response.dump());
    return Json::object();
  }
  if (response["ok"] == false && response.value("unsupported", Json()) != true &&
      !explains(response))
    wrong("with \"ok\" false an \"error\", a sentence", response.dump());
  return response;
}

// The next line that may be meant for a response. Lines of a log, and second responses to what was
// sent before, are noted and passed over.
Json DriverDialogue::next_answer(const Json& id) {
  for (int passed_over = 0; passed_over < most_passed_over; ++passed_over) {
    const auto line = driver_->receive_line(patience_);
    if (!line) give_up(line.error());
    Json response = response_in(*line);
    const Json its_id = response.is_object() ? response.value("id", Json()) : Json();
    const bool is_late = its_id != id && answered_.contains(its_id);
    if (response.is_object() && !is_late) {
      answered_.insert(its_id);
      return response;
    }
    wrong(is_late ? one_line : "a JSON object, and nothing else on standard output", *line);
  }
  throw GivenUp{};
}

void DriverDialogue::give_up(const Error& error) {
  std::string came = "nothing";
  if (error.code == ErrorCode::closed) {
    came = driver_->ending();
    const std::string said = driver_->error_output();
    if (answered_.empty() && driver_->wait(Duration::zero()) == not_installed) {
      check_.not_installed = true;
      if (said.empty() || said.find('\n') != std::string::npos)
        wrong("with exit code 77 one line on standard error", said.empty() ? "none" : said);
      throw GivenUp{};
    }
  }
  wrong("a response within " + in_ms(patience_), came);
  throw GivenUp{};
}

Json DriverDialogue::exchange(const Json& command) {
  const std::uint64_t id = fresh_id();
  Json line{{"id", id}};
  line.update(command);
  return exchange(line.dump(), id);
}

Json DriverDialogue::carry_out(const Json& command) {
  Json response = exchange(command);
  if (response.empty() || response["ok"] == true) return response;
  const bool unsupported = response.value("unsupported", Json()) == true;
  wrong(unsupported ? "a response, for hello lists the operation" : "\"ok\": true",
        response.dump());
  return Json::object();
}

void DriverDialogue::expect_refusal(const std::string& line, const Json& id,
                                    const std::string& because) {
  const Json response = exchange(line, id);
  if (!response.empty() && response["ok"] != false)
    wrong("\"ok\": false, for " + because, response.dump());
}

void DriverDialogue::keep_complaints() {
  if (driver_) check_.error_output = driver_->error_output();
}

}  // namespace hyperpod::conformance::client
