// SPDX-License-Identifier: Apache-2.0
#include "config/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include "config/settings.h"
#include "config/toml_file.h"
#include "text/printable.h"

namespace hyperpod::emulator::config {
namespace {

constexpr const char* footer =
    "Sizes need a unit: B, KiB, MiB, GiB, TiB, PiB. Times need one too: ms, s, min, h.\n"
    "The command line goes over the file, the file over the defaults.\n"
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
  return option->take_last()->description(help_of(setting))->group(std::string(setting.group));
}

// One line, whatever CLI11 put into it.
Error usage_error(std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return {ErrorCode::invalid_option, text::printable(message) + "; see --help"};
}

}  // namespace

Result<Command> parse_command_line(int argc, const char* const* argv) {
  CLI::App app("A local stand-in for the SageMaker HyperPod ai-toolkit KV daemon.",
               "hyperpod-emulator");
  app.set_version_flag("--version", HYPERPOD_VERSION, "Print the version and exit");
  app.get_formatter()->column_width(44);
  app.footer(footer);
  app.set_help_flag("-h,--help", "Print this help and exit");

  std::string file;
  std::string listing;
  std::string checked;
  app.add_option("--config", file, "Configuration, in the form of the real daemon's config.toml")
      ->type_name("FILE.toml");
  app.add_option("--healthcheck", checked,
                 "Ask the admin port of a running emulator for its health; exit with 0 or 1")
      ->type_name("URL");
  app.add_option("--list-options", listing, "Print the table of all settings and exit")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"markdown"}));

  std::vector<std::pair<const Setting*, CLI::Option*>> options;
  for (const Setting& setting : settings()) {
    if (!setting.option.empty()) options.emplace_back(&setting, add(app, setting));
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Printout{app.help()};
  } catch (const CLI::CallForVersion&) {
    return Printout{"hyperpod-emulator " HYPERPOD_VERSION "\n"};
  } catch (const CLI::ParseError& failure) {
    return tl::unexpected(usage_error(failure.what()));
  }
  if (!listing.empty()) return Printout{settings_as_markdown()};
  if (app.count("--healthcheck") > 0) return Healthcheck{std::move(checked)};

  Draft draft;
  if (!file.empty()) {
    if (auto loaded = load_toml_file(file, draft); !loaded) return tl::unexpected(loaded.error());
  }
  for (const auto& [setting, option] : options) {
    if (option->count() == 0) continue;
    const std::string text = option->results().back();
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
