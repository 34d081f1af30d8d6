// SPDX-License-Identifier: Apache-2.0
#include "config/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "config/settings.h"
#include "config/toml_file.h"
#include "hyperpod/base/arguments.h"
#include "hyperpod/base/nearest.h"
#include "hyperpod/base/text.h"

namespace hyperpod::emulator::config {
namespace {

constexpr const char* config_option = "--config";

constexpr const char* footer =
    "Sizes need a unit: B, KiB, MiB, GiB, TiB, PiB. Times need one too: ms, s, min, h.\n"
    "Each option is also an environment variable: HYPERPOD_EMULATOR_CAPACITY is --capacity. One "
    "that\n"
    "is empty is not set. The command line goes over the environment, the environment over the "
    "file,\n"
    "the file over the defaults.\n"
    "\n"
    "When it can serve, it prints one line of JSON on stdout:\n"
    "  {\"event\":\"ready\",\"url\":…,\"admin\":…,\"shm_name\":…,\"capacity\":…,\"pid\":…}\n"
    "SIGTERM and SIGINT end it: what is in flight is answered and the segment removed.\n"
    "Exit status: 0 ended by signal, 1 cannot serve (port or segment in use), 2 unusable "
    "arguments.";

std::string help_of(const Setting& setting) {
  const std::string standard = setting.show(Configuration{});
  return standard.empty() ? std::string(setting.help)
                          : fmt::format("{} [{}]", setting.help, standard);
}

CLI::Option* add(CLI::App& app, const Setting& setting) {
  const std::string name(setting.option);
  CLI::Option* option = nullptr;
  if (setting.type == TomlType::boolean) {
    option = app.add_flag(name)->disable_flag_override(false)->type_name(
        fmt::format("[={}]", setting.value));
  } else {
    option = app.add_option(name)->expected(1)->type_name(std::string(setting.value));
  }
  if (setting.type == TomlType::strings) {
    return option->take_all()->description(help_of(setting))->group(std::string(setting.group));
  }
  return option->take_last()->description(help_of(setting))->group(std::string(setting.group));
}

// One line, whatever CLI11 put into it.
Error usage_error(std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return {ErrorCode::invalid_option, base::printable(message) + " (see --help)"};
}

// The flag that is followed by a word, or by "=" and nothing; null if there is none.
const Setting* flag_of_a_stray_word(const base::Arguments& arguments) {
  for (int i = 1; i < arguments.count(); ++i) {
    const std::string_view word = arguments.values()[i];
    const bool before_a_word = i + 1 < arguments.count() && arguments.values()[i + 1][0] != '-';
    for (const Setting& setting : settings()) {
      if (setting.type != TomlType::boolean || setting.option.empty()) continue;
      if (word == fmt::format("{}=", setting.option) || (word == setting.option && before_a_word)) {
        return &setting;
      }
    }
  }
  return nullptr;
}

// What CLI11 finds wrong, or, of an option that does not exist, what was probably meant.
std::string explain(const CLI::App& app, const base::Arguments& arguments,
                    const CLI::ParseError& failure) {
  const std::vector<std::string> words = app.remaining();
  if (words.empty()) return failure.what();
  const std::string name = words.front().substr(0, words.front().find('='));
  if (!name.starts_with('-')) {
    if (const Setting* flag = flag_of_a_stray_word(arguments)) {
      return fmt::format("{0}: its value goes behind '='; write {0}=true or {0}=false",
                         flag->option);
    }
    return fmt::format("'{}': options alone are taken, no other words", name);
  }
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back(option->get_name());
  return fmt::format("there is no option {}{}", name, base::did_you_mean(name, names));
}

using Environment = std::map<std::string, std::string, std::less<>>;

Environment variables(const char* const* environment) {
  Environment found;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const std::size_t equals = entry.find('=');
    if (!entry.starts_with(variable_of("")) || equals == entry.npos) continue;
    if (equals + 1 == entry.size()) continue;  // set by a template that had nothing to say
    found.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return found;
}

// What Kubernetes puts into the environment of every container where there is a Service named
// hyperpod-emulator. No option is named so.
bool is_of_a_service(std::string_view variable) {
  return variable == variable_of("--port") || variable.starts_with(variable_of("--port-")) ||
         variable.starts_with(variable_of("--service-"));
}

// What is behind a variable that no option has.
std::string guess(std::string_view variable) {
  const std::string prefix = variable_of("");
  if (variable == prefix + "OPTIONS") {
    return "; only docker-compose.yml reads it, so give each option a variable of its own";
  }
  std::vector<std::string> endings;  // the beginning, which all share, makes none nearer
  for (const Setting& setting : settings()) {
    if (!setting.option.empty()) {
      endings.push_back(variable_of(setting.option).substr(prefix.size()));
    }
  }
  const std::string meant = base::nearest(variable.substr(prefix.size()), endings);
  return meant.empty() ? std::string() : fmt::format("; did you mean {}{}?", prefix, meant);
}

Result<void> apply(const Environment& environment, Draft& draft) {
  Environment unknown = environment;
  unknown.erase(variable_of(config_option));
  for (const Setting& setting : settings()) {
    if (setting.option.empty()) continue;
    const std::string name = variable_of(setting.option);
    const auto variable = environment.find(name);
    if (variable == environment.end()) continue;
    if (auto done = draft.set(setting, variable->second, name); !done) return done;
    unknown.erase(name);
  }
  for (const auto& [name, value] : unknown) {
    if (is_of_a_service(name)) continue;
    draft.warn(fmt::format("{}: there is no such option{} (see --help)", base::printable(name),
                           guess(name)));
  }
  return {};
}

}  // namespace

Result<Command> parse_command_line(int argc, const char* const* argv,
                                   const char* const* environment) {
  CLI::App app("A local stand-in for the SageMaker HyperPod ai-toolkit KV daemon.",
               "hyperpod-emulator");
  app.set_version_flag("--version", HYPERPOD_VERSION, "Print the version and exit");
  app.get_formatter()->column_width(44);
  app.footer(footer);
  app.set_help_flag("-h,--help", "Print this help and exit");

  std::string file;
  std::string listing;
  std::string checked;
  app.add_option(config_option, file, "Configuration, in the form of the real daemon's config.toml")
      ->type_name("FILE.toml");
  app.add_option(
         "--healthcheck", checked,
         "Ask an emulator's admin port for health, or URL/readyz for readiness; exit with 0 or 1")
      ->type_name("URL");
  app.add_option("--list-options", listing, "Print the table of all settings and exit")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"markdown"}));

  std::vector<std::pair<const Setting*, CLI::Option*>> options;
  for (const Setting& setting : settings()) {
    if (!setting.option.empty()) options.emplace_back(&setting, add(app, setting));
  }

  const base::Arguments arguments(argc, argv);
  try {
    app.parse(arguments.count(), arguments.values());
  } catch (const CLI::CallForHelp&) {
    return Printout{app.help()};
  } catch (const CLI::CallForVersion&) {
    return Printout{"hyperpod-emulator " HYPERPOD_VERSION "\n"};
  } catch (const CLI::ParseError& failure) {
    return tl::unexpected(usage_error(explain(app, arguments, failure)));
  }
  if (!listing.empty()) return Printout{settings_as_markdown()};
  if (app.count("--healthcheck") > 0) return Healthcheck{std::move(checked)};

  Draft draft;
  const Environment set = variables(environment);
  const auto named = set.find(variable_of(config_option));
  if (app.count(config_option) == 0 && named != set.end()) file = named->second;
  if (!file.empty()) {
    if (auto loaded = load_toml_file(file, draft); !loaded) return tl::unexpected(loaded.error());
  }
  if (auto done = apply(set, draft); !done) return tl::unexpected(done.error());
  for (const auto& [setting, option] : options) {
    if (option->count() == 0) continue;
    const std::vector<std::string>& given = option->results();
    const std::string text = setting->type == TomlType::strings
                                 ? fmt::format("{}", fmt::join(given, ","))
                                 : given.back();
    if (auto done = draft.set(*setting, text, std::string(setting->option)); !done) {
      return tl::unexpected(done.error());
    }
  }
  // Not returned as it is: tl::expected 1.0 leaks when one result converts into another.
  auto configuration = std::move(draft).finish();
  if (!configuration) return tl::unexpected(configuration.error());
  return std::move(*configuration);
}

}  // namespace hyperpod::emulator::config
