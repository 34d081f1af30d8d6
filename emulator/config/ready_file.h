// SPDX-License-Identifier: Apache-2.0
// The file that tells a script that the emulator can serve: --ready-file.
//
// Not thread-safe; one process owns a path.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator::config {

/// By which a ready file is told from any other.
inline constexpr std::string_view ready_line_begin = R"({"event":"ready",)";

/// A ready file that is there as long as this is. Move-only.
class ReadyFile {
 public:
  /// Removes what a former run left at `path`, so that whoever waits for the file never reads an
  /// old one; the file of a process that lives stays until write(). An empty path stands for no
  /// file at all. Refuses (invalid_option) a path that holds anything but a ready file, an empty
  /// one or nothing; a symbolic link is not followed.
  static Result<ReadyFile> prepare(std::string path);

  ReadyFile(ReadyFile&& other) noexcept = default;
  ReadyFile& operator=(ReadyFile&& other) = delete;
  ~ReadyFile();  ///< remove().

  /// Writes `content`, which begins with ready_line_begin; a reader finds all of it or no file.
  Result<void> write(std::string_view content);
  /// Removes the file that was written, unless another has taken its place.
  void remove();

 private:
  explicit ReadyFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  // What was written: open, so that its inode is not used again, and locked, as the file of a
  // process that lives.
  base::FileDescriptor file_;
};

}  // namespace hyperpod::emulator::config
