#include "report/result.h"

#include <array>
#include <exception>

namespace hyperpod::conformance {

CheckResult judge(const Requirement& requirement, const std::function<void()>& check) {
  CheckResult result;
  result.requirement = &requirement;
  result.outcome = Outcome::pass;
  const Moment begun = now();
  try {
    check();
  } catch (const Violation& violation) {
    result.outcome = requirement.level() == Level::must ? Outcome::fail : Outcome::warn;
    result.expected = printable(violation.expected);
    result.seen = printable(violation.seen);
  } catch (const Skipped& skipped) {
    result.outcome = Outcome::skip;
    result.seen = skipped.reason;
  } catch (const SuiteFailure& failure) {
    result.outcome = Outcome::error;
    result.seen = failure.what;
  } catch (const std::exception& exception) {
    result.outcome = Outcome::error;
    result.seen = exception.what();
  }
  result.took = now() - begun;
  return result;
}

std::string_view name(Outcome outcome) {
  constexpr std::array<std::string_view, 5> names{"skip", "pass", "warn", "fail", "error"};
  return names[static_cast<std::size_t>(outcome)];
}

}  // namespace hyperpod::conformance
