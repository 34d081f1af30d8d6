// SPDX-License-Identifier: Apache-2.0
// The one table of settings: the configuration file, the environment, the command line, the help
// text and the printed documentation are all made from it.
//
// The table never changes; any thread may read it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "config/configuration.h"

namespace hyperpod::emulator::config {

/// What stands behind the key in the file. A quantity with a unit is a string. A list is given
/// by an option that is repeated, or by a variable with commas.
enum class TomlType { string, integer, boolean, strings };

struct Setting {
  std::string_view option;  ///< On the command line, "--capacity"; empty: in the file only.
  std::string_view key;     ///< In the file, "cache.capacity".
  std::string_view member;  ///< Of Options, "capacity"; empty: the program's own.
  std::string_view group;   ///< Heading in help and documentation.
  std::string_view help;    ///< One line.
  std::string_view value;   ///< What the help shows as its value, "SIZE".
  /// The form of the value in a file, for messages: 'a string such as "64MiB"'.
  std::string_view form;
  TomlType type = TomlType::string;
  bool repeated = false;     ///< Lies in an array of tables, [[...]].
  std::string_view warning;  ///< If not empty: logged when the setting is used.

  /// Puts `text` into the configuration. Of a list, `text` has all elements, with commas between.
  /// An error's message lacks the name of the setting.
  std::function<Result<void>(Configuration&, std::string_view text)> set;
  /// The text that `set` would read back.
  std::function<std::string(const Configuration&)> show;
};

std::span<const Setting> settings();

/// The environment variable of an option: "HYPERPOD_EMULATOR_SHM_NAME" of "--shm-name".
std::string variable_of(std::string_view option);

/// Null if there is none.
const Setting* setting_of_key(std::string_view key);
const Setting* setting_of_member(std::string_view member);

/// The table of options as Markdown, with the defaults, under one heading for each group.
std::string settings_as_markdown();

}  // namespace hyperpod::emulator::config
