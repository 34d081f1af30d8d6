// SPDX-License-Identifier: Apache-2.0
// Shards in files. Objects are used by one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "hyperpod/client/checkpoints.h"

namespace hyperpod::client::checkpoint {

/// A file descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// The bytes of a regular file. Its size is what it was at open().
class FileSource final : public ShardSource {
 public:
  /// Errors (invalid_argument): it cannot be opened, or is not a regular file.
  static Result<FileSource> open(const std::string& path);

  std::uint64_t size() const override { return size_; }
  /// Errors (invalid_argument): it cannot be read, or has become shorter, or longer when its last
  /// byte has been read.
  Result<void> read(std::uint64_t offset, std::span<std::byte> into) override;

 private:
  FileSource(Descriptor file, std::string path, std::uint64_t size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}

  Descriptor file_;
  std::string path_;
  std::uint64_t size_;
};

/// A file that appears under its name, or replaces what is there, when all is written. Until then
/// its bytes are in a file beside it, which goes with this object.
class FileSink final : public ShardSink {
 public:
  /// Errors (invalid_argument): the path names something else than a regular file, or no file can
  /// be made beside it.
  static Result<FileSink> open(const std::string& path);
  FileSink(FileSink&& other) noexcept;
  FileSink& operator=(FileSink&&) = delete;
  ~FileSink() override;

  Result<void> begin(std::optional<std::uint64_t> size) override;
  Result<void> write(std::span<const std::byte> bytes) override;
  /// Brings all to the disk, and the file to its name.
  Result<void> commit();

 private:
  FileSink(Descriptor file, std::string part, std::string target)
      : file_(std::move(file)), part_(std::move(part)), target_(std::move(target)) {}
  tl::unexpected<Error> failure(const char* doing) const;

  Descriptor file_;
  std::string part_;  // empty once it has its name
  std::string target_;
};

}  // namespace hyperpod::client::checkpoint
