// SPDX-License-Identifier: Apache-2.0
// What the doctor's tests have in common.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"

namespace hyperpod::client::cli::doctor {

/// The ids of what is not ok, each behind its severity: "problem segment-missing".
std::vector<std::string> remarks(const Report& report);

/// The finding of that id; the test fails if there is none.
Finding found(const Report& report, const std::string& id);

/// A machine with these environment variables and no others.
Machine machine_with(const std::map<std::string, std::string>& variables = {});

/// A folder of a test's own, removed with all in it at the end.
class TestFolder {
 public:
  /// Below `parent`, or below the system's temporary folder.
  explicit TestFolder(const std::string& parent = {});
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder();

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file, making the folders that it lies in, and returns its path.
  std::string write(const std::string& name, const std::string& text) const;
  /// The same, of a program.
  std::string write_program(const std::string& name, const std::string& text) const;
  /// A file of `size` bytes that takes no room.
  std::string write_sparse(const std::string& name, std::uint64_t size) const;

 private:
  std::string path_;
};

}  // namespace hyperpod::client::cli::doctor
