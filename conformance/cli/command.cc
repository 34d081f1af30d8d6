#include "cli/command.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <random>

#include "report/files.h"
#include "report/text.h"

namespace hyperpod::conformance {
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

std::string fresh_run_id() {
  std::random_device device;
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "conf-%08x", device());
  return text.data();
}

int complain(int code, const std::string& message) {
  std::fprintf(stderr, "hyperpod-conformance: %s\n", message.c_str());
  return code;
}

void add_time_scale(CLI::App& app, double& time_scale) {
  app.add_option("--time-scale", time_scale, "Makes all time limits longer, for slow machines")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
}

SuiteArguments::SuiteArguments() : seed(std::random_device{}()) {}

void SuiteArguments::add_to(CLI::App& app) {
  const std::map<std::string, Profile> profiles{
      {"core", Profile::core}, {"full", Profile::full}, {"stress", Profile::stress}};
  app.add_option("--profile", profile, "core, full or stress (default full)")
      ->transform(CLI::CheckedTransformer(profiles));
  app.add_option("--only", only, "Ids, as TTL-03, or whole sections, as TTL")->delimiter(',');
  app.add_option("--seed", seed, "Repeats the order and the bytes of another run");
  add_time_scale(app, time_scale);
  app.add_flag("--list{text}", list, "Print the catalogue and end; --list=json as JSON")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--strict", strict, "Warnings count as failures");
  app.add_option("--junit", junit, "Write a report as JUnit XML");
  app.add_option("--json", json, "Write a report as JSON");
  app.add_option("--html", html, "Write a report as one HTML page");
}

bool SuiteArguments::listed(std::span<const Requirement> catalogue) const {
  if (list.empty()) return false;
  std::fputs((list == "json" ? catalogue_json(catalogue) : catalogue_text(catalogue)).c_str(),
             stdout);
  return true;
}

std::string SuiteArguments::unknown_id(std::span<const Requirement> catalogue) const {
  for (const std::string& id : only) {
    const auto named = [&](const Requirement& requirement) {
      return is_named({id}, requirement.id);
    };
    if (std::ranges::none_of(catalogue, named)) return id;
  }
  return "";
}

int SuiteArguments::finish(const Report& report) const {
  using Writer = std::string (*)(const Report&, bool);
  for (const auto& [path, writer] :
       {std::pair<std::string, Writer>{junit, to_junit}, {json, to_json}, {html, to_html}}) {
    if (!path.empty() && !write_file(path, writer(report, strict)))
      return complain(could_not_judge, path + " cannot be written");
  }
  return exit_code(report, strict);
}

}  // namespace hyperpod::conformance
