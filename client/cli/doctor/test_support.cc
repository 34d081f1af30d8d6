// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/test_support.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace hyperpod::client::cli::doctor {

namespace fs = std::filesystem;

std::vector<std::string> remarks(const Report& report) {
  std::vector<std::string> ids;
  for (const Section& section : report.sections()) {
    for (const Finding& finding : section.findings) {
      if (finding.severity == Severity::warning) ids.push_back("warning " + finding.id);
      if (finding.severity == Severity::problem) ids.push_back("problem " + finding.id);
    }
  }
  return ids;
}

Finding found(const Report& report, const std::string& id) {
  for (const Section& section : report.sections()) {
    for (const Finding& finding : section.findings) {
      if (finding.id == id) return finding;
    }
  }
  ADD_FAILURE() << "no finding " << id;
  return {Severity::ok, {}, {}};
}

Machine machine_with(const std::map<std::string, std::string>& variables) {
  Machine machine;
  machine.environment = [variables](const std::string& name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
  machine.patience.slow = std::chrono::hours{1};  // on a busy machine nothing is slow
  machine.proc = "/nowhere";
  machine.session_manager = {"/nowhere", "/nowhere"};
  return machine;
}

TestFolder::TestFolder(const std::string& parent)
    : path_((parent.empty() ? fs::temp_directory_path().string() : parent) +
            "/hyperpod_doctor_XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder " + path_);
}

TestFolder::~TestFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string TestFolder::write(const std::string& name, const std::string& text) const {
  fs::create_directories(fs::path(path(name)).parent_path());
  std::ofstream(path(name), std::ios::binary) << text;
  return path(name);
}

std::string TestFolder::write_program(const std::string& name, const std::string& text) const {
  fs::permissions(write(name, text), fs::perms::owner_all);
  return path(name);
}

std::string TestFolder::write_sparse(const std::string& name, std::uint64_t size) const {
  fs::resize_file(write(name, ""), size);
  return path(name);
}

}  // namespace hyperpod::client::cli::doctor
