#include "client/driver_dialogue.h"

#include <sys/wait.h>

#include <algorithm>

#include "report/result.h"

namespace hyperpod::conformance {
namespace {

constexpr int not_installed = 77;
constexpr int most_passed_over = 100;
constexpr std::size_t longest_quote = 300;
const std::string one_line = "one line in answer, and no other";

/// On one line, and of a length that can be read.
std::string shortened(std::string text) {
  if (text.size() > longest_quote) text = text.substr(0, longest_quote) + "…";
  std::ranges::replace(text, '\n', ' ');
  return text;
}

bool explains(const Json& answer) {
  const Json error = answer.value("error", Json());
  return error.is_string() && !error.get_ref<const std::string&>().empty();
}

}  // namespace

std::string end_told(int status) {
  if (WIFSIGNALED(status)) return "its end by signal " + std::to_string(WTERMSIG(status));
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

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
  Json answer = next_answer(id);
  patience_ = options_.patience;
  if (answer.value("id", Json("none")) != id) wrong("\"id\": " + id.dump(), answer.dump());
  if (!answer.value("ok", Json()).is_boolean()) {
    wrong("\"ok\", true or false", answer.dump());
    return Json::object();
  }
  if (answer["ok"] == false && answer.value("unsupported", Json()) != true && !explains(answer))
    wrong("with \"ok\" false an \"error\", a sentence", answer.dump());
  return answer;
}

// The next line that may be meant for an answer. Lines of a log, and second answers to what was
// sent before, are noted and passed over.
Json DriverDialogue::next_answer(const Json& id) {
  for (int passed_over = 0; passed_over < most_passed_over; ++passed_over) {
    const auto line = driver_->receive_line(patience_);
    if (!line) give_up(line.error());
    Json answer = Json::parse(*line, nullptr, false);
    const Json its_id = answer.is_object() ? answer.value("id", Json()) : Json();
    const bool is_late = its_id != id && answered_.contains(its_id);
    if (answer.is_object() && !is_late) {
      answered_.insert(its_id);
      return answer;
    }
    wrong(is_late ? one_line : "a JSON object, and nothing else on standard output", *line);
  }
  throw GivenUp{};
}

void DriverDialogue::give_up(const Error& error) {
  std::string came = "nothing";
  if (error.code == ErrorCode::closed) {
    const auto status = driver_->wait(patience_);
    const std::string said = driver_->complaints();
    if (answered_.empty() && status && WIFEXITED(*status) &&
        WEXITSTATUS(*status) == not_installed) {
      check_.not_installed = true;
      if (said.empty() || said.find('\n') != std::string::npos)
        wrong("with exit code 77 one line on standard error", said.empty() ? "none" : said);
      throw GivenUp{};
    }
    came = status ? end_told(*status) : "the end of its output";
    if (!said.empty()) came += ", and on standard error: " + said;
  }
  wrong("an answer within " + in_ms(patience_), came);
  throw GivenUp{};
}

Json DriverDialogue::exchange(const Json& command) {
  const std::uint64_t id = fresh_id();
  Json line{{"id", id}};
  line.update(command);
  return exchange(line.dump(), id);
}

Json DriverDialogue::carry_out(const Json& command) {
  Json answer = exchange(command);
  if (answer.empty() || answer["ok"] == true) return answer;
  const bool unsupported = answer.value("unsupported", Json()) == true;
  wrong(unsupported ? "an answer, for hello lists the operation" : "\"ok\": true", answer.dump());
  return Json::object();
}

void DriverDialogue::expect_refusal(const std::string& line, const Json& id,
                                    const std::string& because) {
  const Json answer = exchange(line, id);
  if (!answer.empty() && answer["ok"] != false)
    wrong("\"ok\": false, for " + because, answer.dump());
}

void DriverDialogue::keep_complaints() {
  if (driver_) check_.complaints = driver_->complaints();
}

}  // namespace hyperpod::conformance
