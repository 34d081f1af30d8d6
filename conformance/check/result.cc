// SPDX-License-Identifier: Apache-2.0
#include "check/result.h"

#include <array>
#include <exception>

namespace hyperpod::conformance::check {

CheckResult judge(const Requirement& requirement, const std::function<void()>& check) {
  CheckResult result;
  result.requirement = &requirement;
  result.outcome = Outcome::pass;
  const TimePoint begun = now();
  const auto find = [&](const Violation& violation) {
    result.outcome = requirement.level() == Level::must ? Outcome::fail : Outcome::warn;
    result.expected = printable(violation.expected);
    result.seen = printable(violation.seen);
    result.symptom = violation.symptom;
  };
  try {
    check();
  } catch (const Missing& missing) {
    find(missing);
    result.symptom = Symptom::missing;
  } catch (const Violation& violation) {
    find(violation);
  } catch (const Skipped& skipped) {
    result.outcome = Outcome::skip;
    result.seen = printable(skipped.reason);
  } catch (const NotJudged& follows) {
    result.outcome = Outcome::skip;
    result.cause = follows.cause;
    result.seen = printable("not judged, because " + std::string(follows.cause) +
                            " is not kept: " + follows.seen);
  } catch (const GivenFailure& failure) {
    result.outcome = Outcome::error;
    result.given_failed = true;
    result.seen = printable(failure.what);
  } catch (const SuiteFailure& failure) {
    result.outcome = Outcome::error;
    result.seen = printable(failure.what);
  } catch (const std::exception& exception) {
    result.outcome = Outcome::error;
    result.seen = printable(exception.what());
  } catch (...) {
    result.outcome = Outcome::error;
    result.seen = "an exception of an unknown type";
  }
  result.took = now() - begun;
  return result;
}

std::string_view name(Outcome outcome) {
  constexpr std::array<std::string_view, 5> names{"skip", "pass", "warn", "error", "fail"};
  return names[static_cast<std::size_t>(outcome)];
}

}  // namespace hyperpod::conformance::check
