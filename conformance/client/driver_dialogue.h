// SPDX-License-Identifier: Apache-2.0
// One side of a conversation with a driver that may do anything wrong: commands go out, what comes
// back is held against docs/drivers.md, and what is not as it should be is noted.
//
// One thread uses a DriverDialogue at a time, with SIGPIPE blocked or ignored.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "client/driver.h"
#include "client/driver_check.h"

namespace hyperpod::conformance::client {

class DriverDialogue {
 public:
  /// Thrown when the driver cannot be spoken to any more, which has been noted.
  struct GivenUp {};

  /// Notes go to `check`. Nothing is started yet.
  DriverDialogue(const DriverCheckOptions& options, DriverCheck& check)
      : options_(options), check_(check) {}
  ~DriverDialogue() { keep_complaints(); }

  /// A new process; the one before is killed. Throws a SuiteFailure if none can be started.
  void start();
  Driver& process() { return *driver_; }

  /// Sends a line; the response, or an empty object if it has no proper form. Throws GivenUp.
  Json exchange(const std::string& line, const Json& id);
  /// The same with a command, whose id is set here.
  Json exchange(const Json& command);
  /// The same with a command that a driver has to be able to carry out; empty if it did not.
  Json carry_out(const Json& command);
  /// The same with a line that no driver can do anything with.
  void expect_refusal(const std::string& line, const Json& id, const std::string& because);
  /// Finds fault with every line that the driver has written without having been asked.
  void expect_silence();
  /// A number that no command had yet.
  std::uint64_t fresh_id() { return id_ += 7; }

  /// What findings are about from now on, if not the line that was sent last.
  void turn_to(const std::string& subject) { subject_ = subject; }
  void note(DriverFinding::Weight weight, const std::string& expected, const std::string& came);
  void wrong(const std::string& expected, const std::string& came) {
    note(DriverFinding::Weight::wrong, expected, came);
  }

 private:
  Json next_answer(const Json& id);
  [[noreturn]] void give_up(const Error& error);
  void keep_complaints();

  const DriverCheckOptions& options_;
  DriverCheck& check_;
  std::optional<Driver> driver_;
  Duration patience_{};
  std::uint64_t id_ = 0;
  std::set<Json> answered_;  // ids of this process
  std::string subject_;
};

}  // namespace hyperpod::conformance::client
