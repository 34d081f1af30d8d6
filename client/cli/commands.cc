// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/shard_file.h"
#include "exit_code.h"
#include "hyperpod/base/terminal.h"
#include "hyperpod/base/text.h"
#include "limits_in_force.h"

namespace hyperpod::client::cli {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

int fail_on_file(const std::string& path) {
  complain(path + ": " + std::strerror(errno));
  return exit_usage;
}

std::optional<std::vector<std::byte>> read_all(std::FILE* file) {
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> piece{};
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), file)) {
    bytes.insert(bytes.end(), piece.data(), piece.data() + count);
  }
  if (std::ferror(file) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

void complain(std::string_view message) {
  std::fprintf(stderr, "hyperpod-kv: %s\n", base::printable(message).c_str());
}

int fail(const Error& error) {
  std::string hint;
  if (error.code == ErrorCode::segment_missing) {
    // Whoever runs this beside a container, and not in it, meets this one.
    hint =
        "; the segment of a daemon in a container is seen only in a /dev/shm that both share "
        "(--ipc=host, or docker exec) and by the uid that owns it; hyperpod-kv doctor looks closer";
  } else if (error.code == ErrorCode::out_of_resources) {
    hint = "; " + limits_in_force();
  }
  complain(error.message + hint);
  return exit_code_of(error.code);
}

int run_put(Client& client, const PutCommand& command) {
  const File file(command.file == "-" ? stdin : std::fopen(command.file.c_str(), "rb"));
  if (!file) return fail_on_file(command.file);
  const auto bytes = read_all(file.get());
  if (!bytes) return fail_on_file(command.file);
  const auto outcome = client.put(command.key, *bytes);
  if (!outcome) return fail(outcome.error());
  std::puts(*outcome == PutOutcome::stored ? "stored" : "already stored");
  return exit_hit;
}

int run_get(Client& client, const GetCommand& command, const ReadOptions& read) {
  const auto object = client.get(command.key, read);
  if (!object) return fail(object.error());
  if (!object->is_hit()) {
    complain("no object under '" + command.key + "'");
    return exit_miss;
  }
  if (!command.file && base::is_terminal(STDOUT_FILENO) &&
      !base::is_printable({object->data.get(), object->size})) {
    complain("the object of " + std::to_string(object->size) +
             " bytes is binary; name a FILE for it, or - to write it to the terminal all the same");
    return exit_usage;
  }
  const std::string name = command.file.value_or("-");
  // What is open already, /dev/stdout, is written to where it is.
  if (name != "-" && !name.starts_with("/dev/") && !name.starts_with("/proc/")) {
    if (auto sink = checkpoint::FileSink::open(name)) {
      auto written = sink->write({object->data.get(), object->size});
      if (written) written = sink->commit();
      return written ? exit_hit : fail(written.error());
    }
    // It is not a regular file, or nothing can be made beside it.
  }
  const File file(name == "-" ? stdout : std::fopen(name.c_str(), "wb"));
  if (!file) return fail_on_file(name);
  const bool written =
      std::fwrite(object->data.get(), 1, object->size, file.get()) == object->size &&
      std::fflush(file.get()) == 0;
  return written ? exit_hit : fail_on_file(name);
}

int run_exists(Client& client, const ExistsCommand& command, const ReadOptions& read) {
  int code = exit_hit;
  for (const std::string& key : command.keys) {
    const auto found = client.exists(key, read);
    if (!found) return fail(found.error());
    std::printf("%s %s\n", *found ? "hit" : "miss", key.c_str());
    if (!*found) code = exit_miss;
  }
  return code;
}

}  // namespace hyperpod::client::cli
