// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <utility>

#include "check/runner.h"
#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/text.h"
#include "report/files.h"
#include "report/text.h"

namespace hyperpod::conformance::cli {
namespace {

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  return static_cast<bool>(file.flush());
}

int exit_code(const Report& report, bool strict) {
  switch (report.worst()) {
    case Outcome::error:
      return could_not_judge;
    case Outcome::fail:
      return does_not_conform;
    case Outcome::warn:
      return strict ? does_not_conform : conforms;
    case Outcome::pass:
      return conforms;
    case Outcome::skip:
      break;
  }
  return could_not_judge;
}

}  // namespace

SuiteArguments::SuiteArguments() : seed(std::random_device{}()) {}
SelfCheckArguments::SelfCheckArguments() : seed(std::random_device{}()) {}

std::string fresh_run_id() {
  std::random_device device;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "conf-%08x", device());
  return text.data();
}

int print_error(int code, const std::string& message) {
  std::fprintf(stderr, "hyperpod-conformance: %s\n", base::printable(message).c_str());
  return code;
}

bool print_catalogue(const SuiteArguments& arguments, std::span<const Requirement> catalogue) {
  if (arguments.list.empty()) return false;
  std::string text = catalogue_text(catalogue);
  if (arguments.list == "json") text = catalogue_json(catalogue);
  if (arguments.list == "markdown") text = catalogue_page();
  std::fputs(text.c_str(), stdout);
  return true;
}

std::string unknown_id(const SuiteArguments& arguments, std::span<const Requirement> catalogue) {
  for (const std::string& id : arguments.only) {
    const auto named = [&](const Requirement& requirement) {
      return is_named({id}, requirement.id);
    };
    if (std::ranges::none_of(catalogue, named)) return id;
  }
  return "";
}

std::string unwritable_report(const SuiteArguments& arguments) {
  for (const std::string& path : {arguments.junit, arguments.json, arguments.html}) {
    if (path.empty()) continue;
    const bool was_there = ::access(path.c_str(), F_OK) == 0;
    const base::FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666));
    // A pipe whose reader comes later is fine.
    if (!file && errno != ENXIO) return path + " cannot be written: " + std::strerror(errno);
    if (!was_there) ::unlink(path.c_str());
  }
  // But for what keeps nothing, as /dev/null.
  for (const auto& [one, other] :
       {std::pair(arguments.junit, arguments.json), std::pair(arguments.json, arguments.html),
        std::pair(arguments.junit, arguments.html)}) {
    if (!one.empty() && one == other && !one.starts_with("/dev/"))
      return one + " is named for two reports; give each a file of its own";
  }
  return "";
}

int write_reports(const SuiteArguments& arguments, const Report& report) {
  using Writer = std::string (*)(const Report&, bool);
  const std::array<std::pair<std::string, Writer>, 3> files{
      {{arguments.junit, to_junit}, {arguments.json, to_json}, {arguments.html, to_html}}};
  for (const auto& [path, writer] : files) {
    if (!path.empty() && !write_file(path, writer(report, arguments.strict)))
      return print_error(could_not_judge, path + " cannot be written");
  }
  return exit_code(report, arguments.strict);
}

}  // namespace hyperpod::conformance::cli
