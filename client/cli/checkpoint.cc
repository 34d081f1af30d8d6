// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "commands.h"
#include "exit_code.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/terminal.h"
#include "hyperpod/client/checkpoints.h"
#include "output.h"
#include "signals.h"

namespace hyperpod::client::cli {
namespace {

using std::chrono::steady_clock;

Error file_error(const std::string& doing) {
  return base::system_error(doing, errno, ErrorCode::invalid_argument);
}

std::string text_of_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto number = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; number >= 1024 && unit + 1 < units.size(); ++unit) number /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", number, units[unit]);
}

// One line on stderr that is written anew as bytes move.
class ProgressLine {
 public:
  ProgressLine() : shown_(base::is_terminal(STDERR_FILENO)) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() {
    if (written_) std::fputs("\r\033[K", stderr);
  }

  std::function<void(std::uint64_t, std::optional<std::uint64_t>)> function() {
    if (!shown_) return {};
    return [this](std::uint64_t done, std::optional<std::uint64_t> total) { show(done, total); };
  }

 private:
  void show(std::uint64_t done, std::optional<std::uint64_t> total) {
    constexpr auto pause = std::chrono::milliseconds{100};
    const auto now = steady_clock::now();
    if (now - last_ < pause) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(done) / seconds);
    std::fprintf(stderr, "\r\033[K%s%s, %s/s", text_of_bytes(done).c_str(),
                 total ? (" of " + text_of_bytes(*total)).c_str() : "",
                 text_of_bytes(rate).c_str());
    written_ = true;
  }

  const bool shown_;
  const steady_clock::time_point begin_ = steady_clock::now();
  steady_clock::time_point last_ = begin_;
  bool written_ = false;
};

// Where what has been written cannot be taken back: standard output, a pipe, a device.
class StreamSink final : public ShardSink {
 public:
  /// `doing` is for messages, as "cannot write the shard to standard output".
  StreamSink(int descriptor, std::string doing, bool printable_only)
      : descriptor_(descriptor), doing_(std::move(doing)), printable_only_(printable_only) {}

  Result<void> begin(std::optional<std::uint64_t>) override {
    if (!written_) return {};
    return tl::unexpected(Error{ErrorCode::malformed_response,
                                "the shard broke off after some of it had been written, and what "
                                "has been written cannot be taken back; name a FILE to try again"});
  }

  Result<void> write(std::span<const std::byte> bytes) override {
    if (printable_only_ && !base::is_printable(bytes)) {
      return tl::unexpected(Error{ErrorCode::invalid_argument,
                                  "the shard is binary; name a FILE for it, or - to write it to "
                                  "the terminal all the same"});
    }
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return tl::unexpected(file_error(doing_));
      written_ = true;
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

 private:
  const int descriptor_;
  const std::string doing_;
  const bool printable_only_;
  bool written_ = false;
};

// A descriptor from which standard input can be read twice: another of itself, or of an unnamed
// copy of it.
Result<base::FileDescriptor> rereadable_input() {
  struct stat status {};
  if (fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
      lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
    base::FileDescriptor same(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!same) return tl::unexpected(file_error("cannot read standard input"));
    return same;
  }
  const char* const named = std::getenv("TMPDIR");
  const std::string directory(named != nullptr && *named != '\0' ? named : "/tmp");
  const std::string keeping = "cannot keep standard input in " + directory;
  const auto no_room = [](Error error) {
    error.message += "; set TMPDIR to a directory that has room for it";
    return tl::unexpected(std::move(error));
  };
  std::string name = directory + "/hyperpod-kv-XXXXXX";
  base::FileDescriptor copy(mkostemp(name.data(), O_CLOEXEC));
  if (!copy) return no_room(file_error(keeping));
  unlink(name.c_str());
  StreamSink file(copy.get(), keeping, false);
  std::array<std::byte, 1 << 16> piece{};
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return tl::unexpected(file_error("cannot read standard input"));
    if (count == 0) return copy;
    if (auto kept = file.write(std::span(piece).first(static_cast<std::size_t>(count))); !kept) {
      return no_room(std::move(kept).error());
    }
  }
}

// What one command needs.
struct Run {
  const Checkpoints& checkpoints;
  CheckpointCall call;

  static ShardAddress address(const ShardName& shard) {
    return {shard.name, shard.rank, shard.step};
  }

  static int absent(const ShardName& shard) {
    complain(
        fmt::format("no shard of rank {} and step {} in '{}'", shard.rank, shard.step, shard.name));
    return exit_miss;
  }

  int operator()(const NamespacesCommand& command) {
    if (command.remove) {
      const auto deleted = checkpoints.delete_namespace(command.name, call);
      if (!deleted) return fail(deleted.error());
      if (!*deleted) return absent_namespace(command.name);
      print("deleted\n");
      return exit_hit;
    }
    if (command.num_ranks) {
      const auto created = checkpoints.create_namespace(
          command.name, {*command.num_ranks, *command.steps_retained}, call);
      if (!created) return fail(created.error());
    }
    const auto found = checkpoints.find_namespace(command.name, call);
    if (!found) return fail(found.error());
    if (!*found) return absent_namespace(command.name);
    print(fmt::format("num_ranks={} steps_retained={}\n", (*found)->num_ranks,
                      (*found)->steps_retained));
    return exit_hit;
  }

  static int absent_namespace(const std::string& name) {
    complain("no namespace '" + name + "'");
    return exit_miss;
  }

  int operator()(const ShardPutCommand& command) {
    std::string file = command.file;
    base::FileDescriptor input;
    if (file == "-") {
      auto opened = rereadable_input();
      if (!opened) return fail(opened.error());
      input = *std::move(opened);
      file = fmt::format("/proc/self/fd/{}", input.get());
    }
    const auto stored = [&] {
      ProgressLine progress;
      call.progress = progress.function();
      return checkpoints.put_file(address(command.shard), file, call);
    }();
    if (!stored) return fail(stored.error());
    print("stored\n");
    return exit_hit;
  }

  int operator()(const ShardGetCommand& command) {
    const auto read = [&] {
      ProgressLine progress;
      call.progress = progress.function();
      return read_shard(address(command.shard), command.file);
    }();
    if (!read) return fail(read.error());
    if (!*read) return absent(command.shard);
    if (!(*read)->checked) {
      complain("the shard has no checksum, so its bytes could not be checked");
    }
    return exit_hit;
  }

  Result<std::optional<ShardRead>> read_shard(const ShardAddress& shard,
                                              const std::optional<std::string>& file) {
    if (!file || *file == "-") {
      StreamSink sink(STDOUT_FILENO, "cannot write the shard to standard output",
                      !file && base::is_terminal(STDOUT_FILENO));
      return checkpoints.get(shard, sink, call);
    }
    struct stat status {};
    if (stat(file->c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
      const Signals signals;
      call.stop = signals.token();
      return checkpoints.get_file(shard, *file, call);
    }
    const int descriptor = open(file->c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return tl::unexpected(file_error("cannot write " + *file));
    StreamSink sink(descriptor, "cannot write the shard to " + *file, false);
    return checkpoints.get(shard, sink, call);
  }

  int operator()(const LatestCommand& command) {
    const auto steps = checkpoints.latest(command.name, command.limit, call);
    if (!steps) return fail(steps.error());
    for (const std::uint64_t step : *steps) print(fmt::format("{}\n", step));
    if (!steps->empty()) return exit_hit;
    const auto found = checkpoints.find_namespace(command.name, call);
    if (!found) return fail(found.error());
    if (!*found) return absent_namespace(command.name);
    complain("no step of '" + command.name + "' is complete");
    return exit_miss;
  }

  int operator()(const ShardDeleteCommand& command) {
    const auto deleted = checkpoints.delete_shard(address(command.shard), call);
    if (!deleted) return fail(deleted.error());
    if (!*deleted) return absent(command.shard);
    print("deleted\n");
    return exit_hit;
  }

  int operator()(const ResetCommand&) {
    const auto reset = checkpoints.reset_cluster(call);
    if (!reset) return fail(reset.error());
    print("reset\n");
    return exit_hit;
  }
};

}  // namespace

int run_checkpoint(const ClientOptions& options, const CommandLine& line,
                   const CheckpointCommand& command) {
  const auto checkpoints = Checkpoints::create({.url = options.remote_url,
                                                .retries = line.retries,
                                                .use_https = options.use_https,
                                                .tls = options.tls});
  if (!checkpoints) return fail(checkpoints.error());
  Run run{*checkpoints, {.timeout = line.timeout}};
  return std::visit(run, command);
}

}  // namespace hyperpod::client::cli
