// SPDX-License-Identifier: Apache-2.0
// How values of faults are written in JSON: one form for each type, with read, write and schema,
// and tables of members from which all three are made for a struct.
//
// Pure; any thread. `path` is the value's path within the document, for errors.
#pragma once

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "hyperpod/base/text.h"
#include "hyperpod/emulator/error.h"
#include "text/units.h"

namespace hyperpod::emulator::faults {

using nlohmann::json;
using Schema = nlohmann::ordered_json;

inline tl::unexpected<Error> refuse(std::string_view path, std::string_view what) {
  return tl::unexpected(
      Error{ErrorCode::invalid_option, fmt::format("{} {}", base::printable(path), what)});
}

inline tl::unexpected<Error> refuse_form(std::string_view path, std::string_view form,
                                         const json& value) {
  const std::string shown = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return refuse(path, fmt::format("must be {}, not {}", form,
                                  value.is_structured() ? std::string("an ") + value.type_name()
                                                        : base::quoted(shown)));
}

inline std::string member_of(std::string_view path, std::string_view name) {
  return fmt::format("{}.{}", path, name);
}

/// {"type": TYPE, "description": HELP}
inline Schema schema_of_type(std::string_view type, std::string_view help) {
  Schema schema{{"type", type}};
  if (!help.empty()) schema["description"] = help;
  return schema;
}

// --- Forms of values ----------------------------------------------------------------------------

struct Flag {
  static Result<void> read(const json& value, const std::string& path, bool& out) {
    if (!value.is_boolean()) return refuse_form(path, "true or false", value);
    out = value.get<bool>();
    return {};
  }
  static json write(bool value) { return value; }
  static Schema schema(std::string_view help) { return schema_of_type("boolean", help); }
};

struct Number {
  template <class T>
  static Result<void> read(const json& value, const std::string& path, T& out) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
      return refuse_form(path, fmt::format("a whole number from 0 to {}", most), value);
    }
    out = value.get<T>();
    return {};
  }
  template <class T>
  static json write(T value) {
    return value;
  }
  static Schema schema(std::string_view help) { return schema_of_type("integer", help); }
};

struct Fraction {
  static Result<void> read(const json& value, const std::string& path, double& out) {
    if (!value.is_number()) return refuse_form(path, "a number", value);
    out = value.get<double>();
    return {};
  }
  static json write(double value) { return value; }
  static Schema schema(std::string_view help) { return schema_of_type("number", help); }
};

struct Text {
  static Result<void> read(const json& value, const std::string& path, std::string& out) {
    if (!value.is_string()) return refuse_form(path, "a string", value);
    out = value.get<std::string>();
    return {};
  }
  static json write(const std::string& value) { return value; }
  static Schema schema(std::string_view help) { return schema_of_type("string", help); }
};

struct Octal {
  static Result<void> read(const json& value, const std::string& path, unsigned& out) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text != nullptr) {
      const char* const end = text->data() + text->size();
      const auto [rest, failure] = std::from_chars(text->data(), end, out, 8);
      if (failure == std::errc{} && rest == end) return {};
    }
    return refuse_form(path, R"(a string of octal digits such as "0600")", value);
  }
  static json write(unsigned value) { return fmt::format("{:04o}", value); }
  static Schema schema(std::string_view help) { return schema_of_type("string", help); }
};

struct Period {
  static Result<void> read(const json& value, const std::string& path,
                           std::chrono::milliseconds& out) {
    if (!value.is_string()) {
      return refuse_form(path, R"(a duration such as "250ms" or "2s")", value);
    }
    const auto parsed = text::parse_duration(value.get_ref<const std::string&>());
    if (!parsed) return refuse(path, "is not a duration: " + parsed.error().message);
    out = *parsed;
    return {};
  }
  static Result<void> read(const json& value, const std::string& path, std::chrono::seconds& out) {
    std::chrono::milliseconds exact{};
    if (auto done = read(value, path, exact); !done) return done;
    out = std::chrono::floor<std::chrono::seconds>(exact);
    if (out != exact) return refuse_form(path, "a duration of whole seconds", value);
    return {};
  }
  static json write(std::chrono::milliseconds value) { return text::format_duration(value); }
  static Schema schema(std::string_view help) {
    return schema_of_type("string", fmt::format("{}, as \"250ms\"", help));
  }
};

template <class Enum>
using Name = std::pair<std::string_view, Enum>;

/// An enumerator, by its name.
template <class Enum>
struct Choice {
  std::span<const Name<Enum>> names;

  Result<void> read(const json& value, const std::string& path, Enum& out) const {
    std::string known;
    for (const auto& [name, enumerator] : names) {
      if (value == name) {
        out = enumerator;
        return {};
      }
      known += known.empty() ? "" : ", ";
      known += name;
    }
    return refuse_form(path, "one of " + known, value);
  }
  json write(Enum value) const {
    for (const auto& [name, enumerator] : names) {
      if (enumerator == value) return name;
    }
    return nullptr;
  }
  Schema schema(std::string_view help) const {
    Schema schema = schema_of_type("string", help);
    for (const auto& [name, enumerator] : names) schema["enum"].push_back(name);
    return schema;
  }
};

// --- Tables of members --------------------------------------------------------------------------

template <class Struct, class Member, class Form>
struct Field {
  std::string_view name;
  Member Struct::*member;
  Form form;
  std::string_view help;
};

template <class Struct, class Member, class Form>
Field(const char*, Member Struct::*, Form, const char*) -> Field<Struct, Member, Form>;

template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;

template <class Form, class Member>
Result<void> read_into(const Form& form, const json& value, const std::string& path, Member& out) {
  if constexpr (is_optional<Member>) {
    return form.read(value, path, out.emplace());
  } else {
    return form.read(value, path, out);
  }
}

template <class Form, class Member>
json write_from(const Form& form, const Member& member) {
  if constexpr (is_optional<Member>) {
    return form.write(*member);
  } else {
    return form.write(member);
  }
}

template <class... Fields>
std::string names_in(const std::tuple<Fields...>& table) {
  return std::apply(
      [](const auto&... field) {
        return fmt::format("{}", fmt::join(std::array{field.name...}, ", "));
      },
      table);
}

template <class Struct, class... Fields>
Result<void> read_members(const std::tuple<Fields...>& table, const json& value,
                          const std::string& path, Struct& out) {
  if (!value.is_object()) return refuse_form(path, "an object", value);
  for (const auto& member : value.items()) {  // no structured binding: clang 14 captures none
    const std::string& name = member.key();
    const auto inner = member_of(path, name);
    Result<void> done = refuse(inner, fmt::format("is unknown; known are {}", names_in(table)));
    const auto try_field = [&](const auto& field) {
      if (field.name != name) return false;
      done = read_into(field.form, member.value(), inner, out.*field.member);
      return true;
    };
    std::apply([&](const auto&... field) { (try_field(field) || ...); }, table);
    if (!done) return done;
  }
  return {};
}

/// Without what has its default.
template <class Struct, class... Fields>
json write_members(const std::tuple<Fields...>& table, const Struct& value) {
  json out = json::object();
  const auto write_field = [&](const auto& field) {
    if (value.*field.member == Struct{}.*field.member) return;
    out[std::string(field.name)] = write_from(field.form, value.*field.member);
  };
  std::apply([&](const auto&... field) { (write_field(field), ...); }, table);
  return out;
}

template <class... Fields>
Schema schema_of_members(const std::tuple<Fields...>& table) {
  Schema properties = Schema::object();
  std::apply(
      [&](const auto&... field) {
        ((properties[std::string(field.name)] = field.form.schema(field.help)), ...);
      },
      table);
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

/// A struct in a struct.
template <class Table>
struct Group {
  const Table& table;

  template <class Struct>
  Result<void> read(const json& value, const std::string& path, Struct& out) const {
    return read_members(table, value, path, out);
  }
  template <class Struct>
  json write(const Struct& value) const {
    return write_members(table, value);
  }
  Schema schema(std::string_view) const { return schema_of_members(table); }
};

template <class Table>
Group(const Table&) -> Group<Table>;

}  // namespace hyperpod::emulator::faults
