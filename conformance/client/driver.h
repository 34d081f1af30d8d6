// The process that wraps a client under test: started, spoken to, stopped, continued and ended.
//
// docs/drivers.md has the protocol: a JSON object a line each way. One thread uses a Driver at a
// time, with SIGPIPE blocked or ignored. What the process does wrong comes back as an Error: closed
// (it ended), timed_out (it said nothing in time), malformed (what it said is no answer).
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "probe/error.h"

namespace hyperpod::conformance {

using Json = nlohmann::ordered_json;

class Driver {
 public:
  struct Settings {
    /// A simple shell command. It is started with exec, so that signals reach the client itself.
    std::string command;
    /// Without the right of root to open what its mode forbids.
    bool obey_modes = false;
  };

  static Result<Driver> start(const Settings& settings);

  Driver(Driver&& other) noexcept;
  Driver& operator=(Driver&& other) noexcept;
  ~Driver();  ///< Kills the process, if it still runs, and waits for its end.

  /// Sends `command` and waits for its answer. Its "id" is set here.
  Result<Json> ask(Json command, Duration patience);

  // The halves of ask(), for commands during which something is to happen.
  Result<void> send(Json command, Duration patience);
  Result<Json> receive(Duration patience);

  /// A line as it is; a line break is added.
  Result<void> send_line(const std::string& line, Duration patience);
  /// The next line that the process prints, without its line break.
  Result<std::string> receive_line(Duration patience);

  void finish_input();  ///< The process finds the end of its standard input.

  void signal(int number) const;
  /// Sends SIGSTOP and waits until the kernel says that the process has stopped. False if it ended.
  bool stop() const;
  void resume() const { signal(SIGCONT); }

  /// Waits for the process's end. What waitpid() says of it; nullopt if it is not over in time.
  std::optional<int> wait(Duration patience);

  pid_t pid() const { return pid_; }
  /// The end of what the process printed on standard error.
  std::string complaints() const;

 private:
  Driver() = default;

  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  int errors_ = -1;
  std::optional<int> status_;
  std::string received_;
  std::uint64_t last_id_ = 0;
};

}  // namespace hyperpod::conformance
