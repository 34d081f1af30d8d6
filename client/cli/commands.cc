// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/shard_file.h"
#include "exit_code.h"
#include "hyperpod/base/terminal.h"
#include "hyperpod/base/text.h"
#include "limits_in_force.h"
#include "output.h"
#include "signals.h"

namespace hyperpod::client::cli {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// `doing` is "read" or "write".
int fail_on_file(const char* doing, const std::string& path) {
  const std::string reason = std::strerror(errno);
  std::string name = path.empty() ? "''" : path;
  if (name == "-") name = "standard input";
  complain(std::string("cannot ") + doing + " " + name + ": " + reason);
  return exit_usage;
}

// The size of a regular file. 0: it is another one, or has no size, as in /proc.
std::uint64_t size_of(std::FILE* file) {
  struct stat status {};
  if (::fstat(::fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  return static_cast<std::uint64_t>(status.st_size);
}

// All that `path` has, or the exit code where that cannot be an object. Throws std::bad_alloc
// before anything is read where there is no memory for a file.
tl::expected<std::vector<std::byte>, int> read_all(const std::string& path) {
  constexpr std::uint64_t most_of_file = 64ull << 30;
  constexpr std::uint64_t most_of_stream = 1ull << 30;  // it may have no end, as /dev/zero has none
  const File file(path == "-" ? stdin : std::fopen(path.c_str(), "rb"));
  if (!file) return tl::unexpected(fail_on_file("read", path));
  const std::uint64_t size = size_of(file.get());
  const std::uint64_t most = size > 0 ? most_of_file : most_of_stream;
  const std::string name = path == "-" ? "standard input" : base::quoted(path);
  const auto too_much = [&] {
    complain(name + " has more than " + std::to_string(most >> 30) +
             " GiB, the most that is stored as one object; " +
             (size > 0 ? "store it in parts" : "write it to a file first, which may be larger"));
    return tl::unexpected(exit_usage);
  };
  if (size > most) return too_much();
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  std::array<std::byte, 1 << 16> piece{};
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), file.get())) {
    if (count > most - bytes.size()) return too_much();
    bytes.insert(bytes.end(), piece.data(), piece.data() + count);
  }
  if (std::ferror(file.get()) != 0) return tl::unexpected(fail_on_file("read", path));
  if (bytes.empty()) {
    complain("an object has at least one byte; " + name + " is empty");
    return tl::unexpected(exit_usage);
  }
  return bytes;
}

// Leaves nothing unfinished, whatever signal ends the program. nullopt: the file is not a regular
// one, or nothing can be made beside it.
std::optional<Result<void>> replace_file(const std::string& name,
                                         std::span<const std::byte> bytes) {
  constexpr std::size_t piece = 1 << 20;  // written in a moment
  const Signals signals;
  auto sink = checkpoint::FileSink::open(name);
  if (!sink) return std::nullopt;
  while (!bytes.empty()) {
    if (signals.token().stop_requested()) {
      return tl::unexpected(Error{ErrorCode::cancelled, "a signal came"});  // and ends the program
    }
    const auto next = bytes.first(std::min(piece, bytes.size()));
    if (auto written = sink->write(next); !written) return written;
    bytes = bytes.subspan(next.size());
  }
  return sink->commit();
}

// What asks a question has said what to check.
bool doctor_tells_more(const Error& error) {
  return (error.code == ErrorCode::segment_missing || error.code == ErrorCode::unreachable ||
          error.code == ErrorCode::timed_out || error.code == ErrorCode::malformed_response) &&
         !error.message.ends_with('?');
}

}  // namespace

void complain(std::string_view message) {
  std::fprintf(stderr, "hyperpod-kv: %s\n", base::printable(message).c_str());
}

std::string expired_lease(std::string_view key) {
  return "the lease on " + base::quoted(key) +
         " ended before its bytes were read; raise sagemaker_hyperpod_lease_ttl_s";
}

int fail(const Error& error, const std::string& about) {
  std::string hint;
  if (doctor_tells_more(error)) {
    hint = "; hyperpod-kv doctor tells more";
  } else if (error.code == ErrorCode::out_of_resources) {
    hint = "; " + limits_in_force();
  }
  complain(about + error.message + hint);
  return exit_code_of(error.code);
}

int run_put(Client& client, const PutCommand& command) {
  const auto bytes = read_all(command.file);
  if (!bytes) return bytes.error();
  const auto outcome = client.put(command.key, *bytes);
  if (!outcome) return fail(outcome.error());
  print(*outcome == PutOutcome::stored ? "stored\n" : "already stored\n");
  return exit_hit;
}

int run_get(Client& client, const GetCommand& command, const ReadOptions& read,
            const std::optional<std::string>& bucket) {
  const auto object = client.get(command.key, read);
  if (!object) return fail(object.error());
  if (object->status == GetStatus::lease_expired) {
    complain(expired_lease(command.key));
    return exit_out_of_reach;
  }
  if (!object->is_hit()) {
    complain("no object under " + base::quoted(command.key) +
             (bucket ? " in the bucket " + base::quoted(*bucket) : ""));
    return exit_miss;
  }
  if (!command.file && base::is_terminal(STDOUT_FILENO) &&
      !base::is_printable({object->data.get(), object->size})) {
    complain("the object of " + std::to_string(object->size) +
             " bytes is binary; name a FILE for it, or - to write it to the terminal all the same");
    return exit_usage;
  }
  const std::string name = command.file.value_or("-");
  if (name == "-") {
    print({reinterpret_cast<const char*>(object->data.get()), object->size});
    return exit_hit;
  }
  // What is open already, /dev/stdout, is written to where it is.
  if (!name.starts_with("/dev/") && !name.starts_with("/proc/")) {
    if (const auto written = replace_file(name, {object->data.get(), object->size})) {
      return *written ? exit_hit : fail(written->error());
    }
  }
  const File file(std::fopen(name.c_str(), "wb"));
  if (!file) return fail_on_file("write", name);
  const bool written =
      std::fwrite(object->data.get(), 1, object->size, file.get()) == object->size &&
      std::fflush(file.get()) == 0;
  return written ? exit_hit : fail_on_file("write", name);
}

int run_exists(Client& client, const ExistsCommand& command, const ReadOptions& read) {
  int code = exit_hit;
  for (const std::string& key : command.keys) {
    const auto found = client.exists(key, read);
    if (!found) {  // another daemon may have the others
      code = std::max(code, fail(found.error(), base::quoted(key) + ": "));
      continue;
    }
    print((*found ? "hit " : "miss ") + base::printable(key) + "\n");
    if (!*found) code = std::max(code, exit_miss);
  }
  return code;
}

}  // namespace hyperpod::client::cli
