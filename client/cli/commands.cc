#include "commands.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "exit_code.h"

namespace hyperpod::client::cli {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

int fail_on_file(const std::string& path) {
  std::fprintf(stderr, "hyperpod-kv: %s: %s\n", path.c_str(), std::strerror(errno));
  return exit_usage;
}

std::optional<std::vector<std::byte>> read_all(std::FILE* file) {
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> piece;
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), file)) {
    bytes.insert(bytes.end(), piece.data(), piece.data() + count);
  }
  if (std::ferror(file) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

int fail(const Error& error) {
  std::fprintf(stderr, "hyperpod-kv: %s\n", error.message.c_str());
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
    std::fprintf(stderr, "hyperpod-kv: no object under '%s'\n", command.key.c_str());
    return exit_miss;
  }
  const File file(command.file == "-" ? stdout : std::fopen(command.file.c_str(), "wb"));
  if (!file) return fail_on_file(command.file);
  const bool written =
      std::fwrite(object->data.get(), 1, object->size, file.get()) == object->size &&
      std::fflush(file.get()) == 0;
  return written ? exit_hit : fail_on_file(command.file);
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
