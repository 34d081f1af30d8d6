// SPDX-License-Identifier: Apache-2.0
#include "config/toml_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "config/settings.h"
#include "hyperpod/base/text.h"
#include "text/small_file.h"

namespace hyperpod::emulator::config {
namespace {

std::string_view name_of(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

// Walks a document and applies what it finds.
class Loader {
 public:
  Loader(std::string_view file, Draft& draft) : file_(base::printable(file)), draft_(draft) {}

  Result<void> table(const toml::table& table, const std::string& path) {
    for (const auto& [key, node] : table) {
      const std::string child =
          path.empty() ? std::string(key.str()) : path + "." + std::string(key.str());
      // A quoted key with a dot in it is one key, not a path.
      const bool plain = key.str().find('.') == std::string_view::npos;
      Result<void> done;
      if (const Setting* setting = plain ? setting_of_key(child) : nullptr) {
        done = value(*setting, node, child);
      } else if (plain && leads_to_settings(child)) {
        done = inner(node, child);
      } else {
        return base::failed(
            ErrorCode::invalid_option,
            fmt::format("{}unknown key; {}", place(key.source(), child), known_in(path)));
      }
      if (!done) return done;
    }
    return {};
  }

 private:
  std::string place(const toml::source_region& source, std::string_view key) const {
    return fmt::format("{}:{}: {}: ", file_, source.begin.line, base::printable(key));
  }

  static bool lies_in(const Setting& setting, std::string_view path) {
    return path.empty() || (setting.key.size() > path.size() && setting.key.starts_with(path) &&
                            setting.key[path.size()] == '.');
  }

  static bool leads_to_settings(std::string_view path) {
    return std::ranges::any_of(settings(), [&](const Setting& s) { return lies_in(s, path); });
  }

  // An array of tables is where the repeated settings lie, directly.
  static bool is_repeated(std::string_view path) {
    return std::ranges::any_of(settings(), [&](const Setting& s) {
      return s.repeated && lies_in(s, path) && s.key.rfind('.') == path.size();
    });
  }

  static std::string known_in(std::string_view path) {
    std::set<std::string_view> names;
    for (const Setting& setting : settings()) {
      if (!lies_in(setting, path)) continue;
      const std::string_view rest = setting.key.substr(path.empty() ? 0 : path.size() + 1);
      names.insert(rest.substr(0, rest.find('.')));
    }
    return fmt::format("known {} are {}", path.empty() ? "tables" : fmt::format("in [{}]", path),
                       fmt::join(names, ", "));
  }

  Result<void> inner(const toml::node& node, const std::string& path) {
    if (!is_repeated(path)) {
      if (const auto* inside = node.as_table()) return table(*inside, path);
      return base::failed(ErrorCode::invalid_option,
                          fmt::format("{}must be a table [{}] and is {}",
                                      place(node.source(), path), path, name_of(node.type())));
    }
    const auto* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>()) {
      return base::failed(ErrorCode::invalid_option,
                          fmt::format("{}must be an array of tables; write [[{}]] above each",
                                      place(node.source(), path), path));
    }
    for (const toml::node& element : *array) {
      if (auto done = table(*element.as_table(), path); !done) return done;
    }
    return {};
  }

  static bool is_array_of_strings(const toml::node& node) {
    const auto* const array = node.as_array();
    return array != nullptr && (array->empty() || array->is_homogeneous<std::string>());
  }

  Result<void> value(const Setting& setting, const toml::node& node, const std::string& path) {
    std::string text;
    if (setting.type == TomlType::string && node.is_string()) {
      text = **node.as_string();
    } else if (setting.type == TomlType::integer && node.is_integer()) {
      text = std::to_string(**node.as_integer());
    } else if (setting.type == TomlType::boolean && node.is_boolean()) {
      text = **node.as_boolean() ? "true" : "false";
    } else if (setting.type == TomlType::strings && is_array_of_strings(node)) {
      for (const toml::node& element : *node.as_array()) {
        if (!text.empty()) text += ',';
        text += **element.as_string();
      }
    } else {
      const bool holds_others = setting.type == TomlType::strings && node.is_array();
      return base::failed(ErrorCode::invalid_option,
                          fmt::format("{}must be {}, and {}{}", place(node.source(), path),
                                      setting.form, holds_others ? "holds something else" : "is ",
                                      holds_others ? "" : name_of(node.type())));
    }
    std::string origin = place(node.source(), path);
    origin.resize(origin.size() - 2);
    return draft_.set(setting, text, std::move(origin));
  }

  std::string file_;
  Draft& draft_;
};

}  // namespace

Result<void> load_toml(std::string_view document, std::string_view file, Draft& draft) {
  try {
    return Loader(file, draft).table(toml::parse(document), "");
  } catch (const toml::parse_error& failure) {
    return base::failed(
        ErrorCode::invalid_option,
        fmt::format("{}:{}: {}; correct the TOML there", base::printable(file),
                    failure.source().begin.line, base::printable(failure.description())));
  }
}

Result<void> load_toml_file(const std::string& path, Draft& draft) {
  const auto document = text::read_small_file(path);
  if (!document) return tl::unexpected(document.error());
  return load_toml(*document, path, draft);
}

}  // namespace hyperpod::emulator::config
