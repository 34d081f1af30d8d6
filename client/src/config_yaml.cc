// SPDX-License-Identifier: Apache-2.0
#include "config_yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hyperpod::client {
namespace {

constexpr std::size_t max_merged_entries = 1'000'000;

constexpr std::string_view tag_prefix = "tag:yaml.org,2002:";

constexpr std::string_view decimal_digits = "0123456789";
constexpr std::string_view decimal_digits_and_underscore = "0123456789_";

// What stands wrong, and in which line of the text.
struct Problem {
  std::size_t line;
  std::string what;
};

template <class T>
using Parsed = tl::expected<T, Problem>;

// ---- Nodes ----

struct Node {
  enum class Type { scalar, sequence, mapping };

  Type type = Type::scalar;
  std::string tag;  // without tag_prefix where it has it
  std::string value = {};
  std::vector<std::size_t> items = {};
  std::vector<std::pair<std::size_t, std::size_t>> entries = {};
  std::size_t line = 0;
};

const char* name_of(Node::Type type) {
  switch (type) {
    case Node::Type::scalar:
      return "a scalar";
    case Node::Type::sequence:
      return "a list";
    case Node::Type::mapping:
      break;
  }
  return "a mapping";
}

// ---- The resolver: what a plain scalar is ----

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// Takes the characters of `set` off the front and returns how many there were.
std::size_t take_class(std::string_view& text, std::string_view set) {
  const auto count = std::min(text.find_first_not_of(set), text.size());
  text.remove_prefix(count);
  return count;
}

// Takes exactly `least` to `most` decimal digits.
bool take_number(std::string_view& text, std::size_t least, std::size_t most, unsigned& value) {
  const auto count = std::min({text.find_first_not_of(decimal_digits), text.size(), most});
  if (count < least) return false;
  value = 0;
  for (char c : text.substr(0, count)) value = value * 10 + static_cast<unsigned>(c - '0');
  text.remove_prefix(count);
  return true;
}

void skip_sign(std::string_view& text) {
  if (!take(text, '-')) take(text, '+');
}

// (:[0-5]?[0-9])+
bool take_sexagesimals(std::string_view& text) {
  bool any = false;
  while (text.starts_with(':')) {
    std::string_view rest = text.substr(1);
    const auto count = take_class(rest, decimal_digits);
    if (count == 0 || count > 2 || (count == 2 && text[1] > '5')) return false;
    text = rest;
    any = true;
  }
  return any;
}

// ([eE][-+][0-9]+)?, to the end
bool is_exponent_or_end(std::string_view text) {
  if (text.empty()) return true;
  if (!take(text, 'e') && !take(text, 'E')) return false;
  if (!take(text, '-') && !take(text, '+')) return false;
  return take_class(text, decimal_digits) > 0 && text.empty();
}

bool is_float(std::string_view text) {
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return true;
  if (text.size() > 1 && text[0] == '.' && decimal_digits.find(text[1]) != std::string_view::npos) {
    text.remove_prefix(1);
    take_class(text, decimal_digits_and_underscore);
    return is_exponent_or_end(text);
  }
  skip_sign(text);
  if (text == ".inf" || text == ".Inf" || text == ".INF") return true;
  if (text.empty() || decimal_digits.find(text[0]) == std::string_view::npos) return false;
  take_class(text, decimal_digits_and_underscore);
  const bool sexagesimal = text.starts_with(':');
  if (sexagesimal && !take_sexagesimals(text)) return false;
  if (!take(text, '.')) return false;
  take_class(text, decimal_digits_and_underscore);
  return sexagesimal ? text.empty() : is_exponent_or_end(text);
}

bool is_int(std::string_view text) {
  skip_sign(text);
  if (text == "0") return true;
  const auto consists_of = [](std::string_view rest, std::string_view set) {
    return !rest.empty() && rest.find_first_not_of(set) == std::string_view::npos;
  };
  if (text.starts_with("0b")) return consists_of(text.substr(2), "01_");
  if (text.starts_with("0x")) return consists_of(text.substr(2), "0123456789abcdefABCDEF_");
  if (text.starts_with('0')) return consists_of(text.substr(1), "01234567_");
  if (text.empty() || decimal_digits.find(text[0]) == std::string_view::npos) return false;
  take_class(text, decimal_digits_and_underscore);
  return text.empty() || (take_sexagesimals(text) && text.empty());
}

struct Timestamp {
  unsigned year = 0, month = 0, day = 0;
  bool has_time = false;
  unsigned hour = 0, minute = 0, second = 0;
  std::string fraction = {};
  char zone = 0;  // 'Z', '+', '-' or none
  unsigned zone_hour = 0, zone_minute = 0;
};

// PyYAML's pattern; the date alone has two digits each for month and day unless `lenient`.
std::optional<Timestamp> match_timestamp(std::string_view text, bool lenient) {
  Timestamp time;
  const std::string_view whole = text;
  if (!take_number(text, 4, 4, time.year) || !take(text, '-') ||
      !take_number(text, 1, 2, time.month) || !take(text, '-') ||
      !take_number(text, 1, 2, time.day)) {
    return std::nullopt;
  }
  if (text.empty()) {
    if (!lenient && whole.size() != std::string_view("2001-01-01").size()) return std::nullopt;
    return time;
  }
  time.has_time = true;
  if (!take(text, 'T') && !take(text, 't') && take_class(text, " \t") == 0) return std::nullopt;
  if (!take_number(text, 1, 2, time.hour) || !take(text, ':') ||
      !take_number(text, 2, 2, time.minute) || !take(text, ':') ||
      !take_number(text, 2, 2, time.second)) {
    return std::nullopt;
  }
  if (take(text, '.')) {
    std::string_view rest = text;
    time.fraction = text.substr(0, take_class(rest, decimal_digits));
    text = rest;
  }
  if (text.empty()) return time;
  take_class(text, " \t");
  if (text == "Z") {
    time.zone = 'Z';
    return time;
  }
  if (!text.starts_with('+') && !text.starts_with('-')) return std::nullopt;
  time.zone = text.front();
  text.remove_prefix(1);
  if (!take_number(text, 1, 2, time.zone_hour)) return std::nullopt;
  if (take(text, ':') && !take_number(text, 2, 2, time.zone_minute)) return std::nullopt;
  if (!text.empty()) return std::nullopt;
  return time;
}

std::string resolve(std::string_view text) {
  const auto is_one_of = [text](auto... words) { return ((text == words) || ...); };
  if (is_one_of("yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False",
                "FALSE", "on", "On", "ON", "off", "Off", "OFF")) {
    return "bool";
  }
  if (is_float(text)) return "float";
  if (is_int(text)) return "int";
  if (text == "<<") return "merge";
  if (is_one_of("", "~", "null", "Null", "NULL")) return "null";
  if (match_timestamp(text, false)) return "timestamp";
  if (text == "=") return "value";
  return "str";
}

// ---- The constructors: what a scalar of a kind is in Python ----

std::string without_underscores(std::string_view text) {
  std::string kept;
  std::ranges::copy_if(text, std::back_inserter(kept), [](char c) { return c != '_'; });
  return kept;
}

bool is_negative(std::string_view& text) {
  const bool negative = text.starts_with('-');
  skip_sign(text);
  return negative;
}

// FIRST:PART:PART…, each part a digit of base 60. Parts beyond 99 are not taken.
std::optional<std::string> sexagesimal_digits(std::string_view text) {
  auto colon = text.find(':');
  auto digits = python_integer(text.substr(0, colon));
  while (digits && !digits->starts_with('-') && colon != std::string_view::npos) {
    text.remove_prefix(colon + 1);
    colon = text.find(':');
    const auto part = python_integer(text.substr(0, colon));
    if (!part || part->size() > 2 || part->starts_with('-')) return std::nullopt;
    digits = multiply_and_add(*digits, 60, static_cast<unsigned>(std::stoi(*part)));
  }
  return digits;
}

std::optional<ConfigValue> construct_int(std::string_view scalar) {
  const std::string kept = without_underscores(scalar);
  std::string_view text = kept;
  if (text.empty()) return std::nullopt;
  const bool negative = is_negative(text);
  std::optional<std::string> digits;
  if (text.starts_with("0b")) {
    digits = python_integer(text.substr(2), 2);
  } else if (text.starts_with("0x")) {
    digits = python_integer(text.substr(2), 16);
  } else if (text.starts_with('0') && text != "0") {
    digits = python_integer(text, 8);
  } else if (text.find(':') != std::string_view::npos) {
    digits = sexagesimal_digits(text);
  } else {
    digits = python_integer(text);
  }
  if (!digits) return std::nullopt;
  if (negative && *digits != "0") {
    *digits = digits->starts_with('-') ? digits->substr(1) : "-" + *digits;
  }
  return ConfigValue::of_integer(*std::move(digits));
}

std::optional<ConfigValue> construct_float(std::string_view scalar) {
  std::string kept = without_underscores(scalar);
  for (char& c : kept) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  std::string_view text = kept;
  if (text.empty()) return std::nullopt;
  const double sign = is_negative(text) ? -1.0 : 1.0;
  if (text == ".inf")
    return ConfigValue::of_decimal(sign * std::numeric_limits<double>::infinity());
  if (text == ".nan") return ConfigValue::of_decimal(std::numeric_limits<double>::quiet_NaN());
  if (text.find(':') == std::string_view::npos) {
    const auto number = python_float(text);
    return number ? std::optional(ConfigValue::of_decimal(sign * *number)) : std::nullopt;
  }
  // From the last part to the first, as PyYAML adds them up.
  double value = 0;
  double base = 1;
  for (bool more = true; more; base *= 60) {
    const auto colon = text.rfind(':');
    more = colon != std::string_view::npos;
    const auto part = python_float(more ? text.substr(colon + 1) : text);
    if (!part) return std::nullopt;
    value += *part * base;
    if (more) text = text.substr(0, colon);
  }
  return ConfigValue::of_decimal(sign * value);
}

std::optional<ConfigValue> construct_bool(std::string_view scalar) {
  std::string lower(scalar);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower == "yes" || lower == "true" || lower == "on") return ConfigValue::of_boolean(true);
  if (lower == "no" || lower == "false" || lower == "off") return ConfigValue::of_boolean(false);
  return std::nullopt;
}

unsigned days_in(unsigned month, unsigned year) {
  constexpr std::array<unsigned, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : days[month - 1];
}

std::optional<ConfigValue> construct_timestamp(std::string_view scalar) {
  auto time = match_timestamp(scalar, true);
  if (!time) return std::nullopt;
  if (time->year < 1 || time->month < 1 || time->month > 12 || time->day < 1 ||
      time->day > days_in(time->month, time->year) || time->hour > 23 || time->minute > 59 ||
      time->second > 59) {
    return std::nullopt;
  }
  std::string text = fmt::format("{:04}-{:02}-{:02}", time->year, time->month, time->day);
  if (time->has_time) {
    text += fmt::format(" {:02}:{:02}:{:02}", time->hour, time->minute, time->second);
    time->fraction.resize(6, '0');
    if (time->fraction != "000000") text += "." + time->fraction;
    if (time->zone == 'Z') text += "+00:00";
    if (time->zone == '+' || time->zone == '-') {
      const unsigned minutes = time->zone_hour * 60 + time->zone_minute;
      if (minutes >= 24 * 60) return std::nullopt;
      text +=
          fmt::format("{}{:02}:{:02}", minutes == 0 ? '+' : time->zone, minutes / 60, minutes % 60);
    }
  }
  return ConfigValue{ConfigValue::Kind::timestamp, std::move(text), 0, true};
}

// ---- From events to nodes ----

// Where a scalar stands in the text, in characters.
struct Span {
  std::size_t begin;
  std::size_t end;
  bool is_plain;
};

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* operator->() { return &event_; }
  yaml_event_t* get() { return &event_; }

 private:
  yaml_event_t event_{};
};

std::string text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

std::string short_tag(const yaml_char_t* tag) {
  std::string text = text_of(tag);
  if (text.starts_with(tag_prefix)) return text.substr(tag_prefix.size());
  return text;
}

class Composer {
 public:
  explicit Composer(std::string_view text) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Composer(const Composer&) = delete;
  Composer& operator=(const Composer&) = delete;
  ~Composer() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  // The root of the only document; nullopt if there is none.
  Parsed<std::optional<std::size_t>> run() {
    if (!ready_) return tl::unexpected(Problem{0, "there is not enough memory to read it"});
    while (true) {
      Event event;
      if (!next(event)) return tl::unexpected(parser_problem());
      if (event->type == YAML_STREAM_END_EVENT) return std::optional<std::size_t>{};
      if (event->type == YAML_DOCUMENT_START_EVENT) break;
    }
    const auto root = compose(0);
    if (!root) return tl::unexpected(root.error());
    Event document_end;
    if (!next(document_end)) return tl::unexpected(parser_problem());
    Event after;
    if (!next(after)) return tl::unexpected(parser_problem());
    if (after->type != YAML_STREAM_END_EVENT) {
      return tl::unexpected(
          Problem{after->start_mark.line + 1, "a second document begins; one file holds one"});
    }
    return std::optional<std::size_t>(*root);
  }

  std::vector<Node> take_nodes() { return std::move(nodes_); }
  const std::vector<Span>& scalars() const { return scalars_; }

 private:
  bool next(Event& event) { return yaml_parser_parse(&parser_, event.get()) == 1; }

  Problem parser_problem() const {
    const bool is_reader = parser_.error == YAML_READER_ERROR;
    std::string what = parser_.problem == nullptr ? "it cannot be read" : parser_.problem;
    if (is_reader) what += fmt::format(" (at byte {})", parser_.problem_offset);
    if (parser_.context != nullptr) what = fmt::format("{}, {}", parser_.context, what);
    return {(is_reader ? parser_.mark.line : parser_.problem_mark.line) + 1, std::move(what)};
  }

  Parsed<std::size_t> compose(int depth) {
    Event event;
    if (!next(event)) return tl::unexpected(parser_problem());
    return compose(event, depth);
  }

  // The node that begins with `event`.
  Parsed<std::size_t> compose(Event& event, int depth) {
    const auto line = static_cast<std::size_t>(event->start_mark.line) + 1;
    if (event->type == YAML_ALIAS_EVENT) {
      const std::string anchor = text_of(event->data.alias.anchor);
      const auto found = anchors_.find(anchor);
      if (found == anchors_.end()) {
        return tl::unexpected(Problem{line, fmt::format("nothing is anchored as &{}", anchor)});
      }
      return found->second;
    }
    if (depth > max_value_depth) {
      return tl::unexpected(Problem{line, fmt::format("it nests deeper than {}", max_value_depth)});
    }
    Node node;
    node.line = line;
    const yaml_char_t* anchor = nullptr;
    if (event->type == YAML_SCALAR_EVENT) {
      const auto& scalar = event->data.scalar;
      anchor = scalar.anchor;
      scalars_.push_back({event->start_mark.index, event->end_mark.index,
                          scalar.style == YAML_PLAIN_SCALAR_STYLE});
      node.value.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
      node.tag = short_tag(scalar.tag);
      const bool is_plain = node.tag == "!" || (node.tag.empty() && scalar.plain_implicit != 0);
      if (is_plain) {
        node.tag = resolve(node.value);
      } else if (node.tag.empty()) {
        node.tag = "str";
      }
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
      node.type = Node::Type::sequence;
      anchor = event->data.sequence_start.anchor;
      node.tag = short_tag(event->data.sequence_start.tag);
      if (node.tag.empty() || node.tag == "!") node.tag = "seq";
    } else {
      node.type = Node::Type::mapping;
      anchor = event->data.mapping_start.anchor;
      node.tag = short_tag(event->data.mapping_start.tag);
      if (node.tag.empty() || node.tag == "!") node.tag = "map";
    }
    const std::size_t index = nodes_.size();
    if (anchor != nullptr && !anchors_.emplace(text_of(anchor), index).second) {
      return tl::unexpected(
          Problem{line, fmt::format("the anchor &{} is given twice", text_of(anchor))});
    }
    const Node::Type type = node.type;
    nodes_.push_back(std::move(node));
    if (type == Node::Type::sequence) return compose_items(index, depth);
    if (type == Node::Type::mapping) return compose_entries(index, depth);
    return index;
  }

  Parsed<std::size_t> compose_items(std::size_t index, int depth) {
    while (true) {
      Event event;
      if (!next(event)) return tl::unexpected(parser_problem());
      if (event->type == YAML_SEQUENCE_END_EVENT) return index;
      const auto item = compose(event, depth + 1);
      if (!item) return item;
      nodes_[index].items.push_back(*item);
    }
  }

  Parsed<std::size_t> compose_entries(std::size_t index, int depth) {
    while (true) {
      Event event;
      if (!next(event)) return tl::unexpected(parser_problem());
      if (event->type == YAML_MAPPING_END_EVENT) return index;
      const auto key = compose(event, depth + 1);
      if (!key) return key;
      const auto value = compose(depth + 1);
      if (!value) return value;
      nodes_[index].entries.emplace_back(*key, *value);
    }
  }

  yaml_parser_t parser_{};
  bool ready_ = false;
  std::vector<Node> nodes_;
  std::vector<Span> scalars_;
  std::map<std::string, std::size_t> anchors_;
};

// The first tab that PyYAML would stumble over, where libyaml does not: it takes tabs in quotes, in
// blocks and in comments only. `scalars` are in the order of the text.
std::optional<Problem> find_tab(std::string_view text, const std::vector<Span>& scalars) {
  if (text.find('\t') == std::string_view::npos) return std::nullopt;
  std::size_t index = 0;  // of the character, as libyaml counts
  std::size_t line = 1;
  bool in_comment = false;
  char before = '\n';
  auto scalar = scalars.begin();
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) continue;  // the rest of a character
    while (scalar != scalars.end() && scalar->end <= index) ++scalar;
    const bool in_scalar = scalar != scalars.end() && scalar->begin <= index;
    if (c == '\n' || c == '\r') {
      in_comment = false;
      if (c == '\r' || before != '\r') ++line;
    } else if (c == '#' && !in_scalar &&
               (before == ' ' || before == '\t' || before == '\n' || before == '\r')) {
      in_comment = true;
    } else if (c == '\t' && !in_comment && !(in_scalar && !scalar->is_plain)) {
      return Problem{line, "a tab separates words, where YAML demands spaces"};
    }
    before = c;
    ++index;
  }
  return std::nullopt;
}

// ---- From nodes to values ----

class Constructor {
 public:
  explicit Constructor(std::vector<Node> nodes)
      : nodes_(std::move(nodes)), checked_(nodes_.size()) {}

  Parsed<ConfigValue> run(std::size_t root) {
    if (auto problem = check(root)) return tl::unexpected(*std::move(problem));
    return value_of(root, 0);
  }

 private:
  using MaybeProblem = std::optional<Problem>;
  using Entries = std::vector<std::pair<std::size_t, std::size_t>>;

  // Whether PyYAML can construct the node and what it holds. Merges on the way.
  MaybeProblem check(std::size_t index) {
    if (checked_[index]) return std::nullopt;
    checked_[index] = true;
    const Node& node = nodes_[index];
    const auto demand = [&](Node::Type type) -> MaybeProblem {
      if (node.type == type) return std::nullopt;
      return Problem{node.line, fmt::format("!!{} must stand before {}", node.tag, name_of(type))};
    };
    if (node.tag == "map" || node.tag == "set") {
      if (auto problem = demand(Node::Type::mapping)) return problem;
      return check_mapping(index);
    }
    if (node.tag == "seq") {
      if (auto problem = demand(Node::Type::sequence)) return problem;
      return check_items(index);
    }
    if (node.tag == "omap" || node.tag == "pairs") {
      if (auto problem = demand(Node::Type::sequence)) return problem;
      return check_pairs(index);
    }
    if (node.tag == "merge" || node.tag == "value") {
      return Problem{node.line, fmt::format("'{}' without quotes is not a value", node.value)};
    }
    constexpr std::array<std::string_view, 7> scalars = {"null",      "bool",   "int", "float",
                                                         "timestamp", "binary", "str"};
    if (std::ranges::find(scalars, node.tag) == scalars.end()) {
      return Problem{node.line, fmt::format("the tag {} is not known", node.tag)};
    }
    if (auto problem = demand(Node::Type::scalar)) return problem;
    if (!scalar_value(node)) {
      return Problem{node.line, fmt::format("'{}' cannot be read as {}", node.value, node.tag)};
    }
    return std::nullopt;
  }

  MaybeProblem check_items(std::size_t index) {
    for (std::size_t i = 0; i < nodes_[index].items.size(); ++i) {
      if (auto problem = check(nodes_[index].items[i])) return problem;
    }
    return std::nullopt;
  }

  MaybeProblem check_pairs(std::size_t index) {
    for (std::size_t i = 0; i < nodes_[index].items.size(); ++i) {
      const Node& item = nodes_[nodes_[index].items[i]];
      if (item.type != Node::Type::mapping || item.entries.size() != 1) {
        return Problem{item.line,
                       fmt::format("each item of !!{} must be one pair", nodes_[index].tag)};
      }
      const auto [key, value] = item.entries.front();
      if (auto problem = check(key)) return problem;
      if (auto problem = check(value)) return problem;
    }
    return std::nullopt;
  }

  MaybeProblem check_mapping(std::size_t index) {
    if (auto problem = merge_into(index)) return problem;
    for (std::size_t i = 0; i < nodes_[index].entries.size(); ++i) {
      const auto [key, value] = nodes_[index].entries[i];
      if (auto problem = check(key)) return problem;
      if (nodes_[key].type != Node::Type::scalar) {
        return Problem{nodes_[key].line,
                       fmt::format("{} cannot be a key", name_of(nodes_[key].type))};
      }
      if (auto problem = check(value)) return problem;
    }
    return std::nullopt;
  }

  // Puts the entries that `<<` names before the mapping's own, which win, being last. Of several
  // mappings in one list the first wins.
  MaybeProblem merge_into(std::size_t index) {
    Entries own;
    std::vector<std::size_t> sources;  // a mapping or a list each
    for (const auto& [key, value] : nodes_[index].entries) {
      if (nodes_[key].tag == "merge") {
        sources.push_back(value);
        continue;
      }
      if (nodes_[key].tag == "value") nodes_[key].tag = "str";
      own.emplace_back(key, value);
    }
    if (sources.empty()) return std::nullopt;
    nodes_[index].entries = own;  // a source may be this mapping itself
    Entries merged;
    for (const std::size_t source : sources) {
      const bool is_list = nodes_[source].type == Node::Type::sequence;
      const auto mappings = is_list ? nodes_[source].items : std::vector<std::size_t>{source};
      for (const std::size_t mapping : mappings) {
        if (nodes_[mapping].type != Node::Type::mapping) {
          return Problem{nodes_[mapping].line,
                         fmt::format("'<<' merges a mapping or a list of mappings, not {}",
                                     name_of(nodes_[mapping].type))};
        }
        if (auto problem = merge_into(mapping)) return problem;
        merged_entries_ += nodes_[mapping].entries.size();
        if (merged_entries_ > max_merged_entries) {
          return Problem{nodes_[mapping].line,
                         fmt::format("its merges make more than {} entries", max_merged_entries)};
        }
      }
      for (auto mapping = mappings.rbegin(); mapping != mappings.rend(); ++mapping) {
        const Entries& entries = nodes_[*mapping].entries;
        merged.insert(merged.end(), entries.begin(), entries.end());
      }
    }
    merged.insert(merged.end(), own.begin(), own.end());
    nodes_[index].entries = std::move(merged);
    return std::nullopt;
  }

  static std::optional<ConfigValue> scalar_value(const Node& node) {
    if (node.tag == "null") return ConfigValue{};
    if (node.tag == "bool") return construct_bool(node.value);
    if (node.tag == "int") return construct_int(node.value);
    if (node.tag == "float") return construct_float(node.value);
    if (node.tag == "timestamp") return construct_timestamp(node.value);
    if (node.tag == "binary") {
      return ConfigValue{ConfigValue::Kind::bytes, node.value, 0, !node.value.empty()};
    }
    return ConfigValue::of_text(node.value);
  }

  ConfigValue value_of(std::size_t index, int depth) const {
    const Node& node = nodes_[index];
    if (node.type == Node::Type::scalar) return scalar_value(node).value_or(ConfigValue{});
    if (node.tag != "map") {
      const bool truth = !node.items.empty() || !node.entries.empty();
      return {ConfigValue::Kind::sequence, {}, 0, truth};
    }
    ConfigValue mapping{ConfigValue::Kind::mapping, {}, 0, !node.entries.empty()};
    if (depth == value_entries_depth) return mapping;
    for (const auto& [key, value] : node.entries) {
      if (nodes_[key].tag != "str") continue;
      mapping.entries.insert_or_assign(nodes_[key].value, value_of(value, depth + 1));
    }
    return mapping;
  }

  std::vector<Node> nodes_;
  std::vector<bool> checked_;
  std::size_t merged_entries_ = 0;
};

}  // namespace

Result<ConfigValue> parse_yaml(std::string_view text) {
  const auto fail = [](const Problem& problem) {
    return tl::unexpected(
        Error{ErrorCode::invalid_option, fmt::format("line {}: {}", problem.line, problem.what)});
  };
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  Composer composer(text);
  const auto root = composer.run();
  if (!root) return fail(root.error());
  if (const auto problem = find_tab(text, composer.scalars())) return fail(*problem);
  if (!*root) return ConfigValue{};
  auto value = Constructor(composer.take_nodes()).run(**root);
  if (!value) return fail(value.error());
  return *std::move(value);
}

}  // namespace hyperpod::client
