// SPDX-License-Identifier: Apache-2.0
#include "faults/document.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <exception>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::faults {
namespace {

using nlohmann::json;

constexpr std::size_t most_levels = 16;
// What aliases of aliases could multiply without end.
constexpr std::size_t most_values = 100'000;

/// Thrown from the depth of a document to its parse function.
struct Refusal {
  std::string message;
};

tl::unexpected<Error> refuse_document(std::string message) {
  return tl::unexpected(Error{ErrorCode::invalid_option, std::move(message)});
}

[[noreturn]] void refuse_depth(const std::string& path) {
  throw Refusal{fmt::format("{} lies deeper than {} levels", base::printable(path), most_levels)};
}

[[noreturn]] void refuse_repetition(const std::string& path) {
  throw Refusal{fmt::format("{} is given twice; leave one out", base::printable(path))};
}

std::string member_of(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

/// Follows a JSON document event by event, and refuses what the parser would let pass.
class JsonWatch {
 public:
  bool operator()(int /*depth*/, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        begin_value();
        levels_.push_back({path_, {}, 0, event == json::parse_event_t::array_start});
        if (levels_.size() > most_levels) refuse_depth(path_);
        break;
      case json::parse_event_t::key:
        begin_member(parsed.get_ref<const std::string&>());
        break;
      case json::parse_event_t::value:
        begin_value();
        break;
      default:
        levels_.pop_back();
    }
    return true;
  }

 private:
  struct Level {
    std::string path;
    std::set<std::string> names;
    std::size_t elements;
    bool is_array;
  };

  void begin_member(const std::string& name) {
    Level& level = levels_.back();
    path_ = member_of(level.path, name);
    if (!level.names.insert(name).second) refuse_repetition(path_);
  }

  void begin_value() {
    if (levels_.empty() || !levels_.back().is_array) return;
    Level& level = levels_.back();
    path_ = fmt::format("{}[{}]", level.path, level.elements++);
  }

  std::vector<Level> levels_;
  std::string path_;
};

// The parser of JSON takes it for the end.
bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

class YamlConverter {
 public:
  json convert(const YAML::Node& node, const std::string& path, std::size_t level = 1) {
    if (++values_ > most_values) {
      throw Refusal{fmt::format("the document stands for more than {} values", most_values)};
    }
    if (node.IsScalar()) return scalar(node, path);
    if (node.IsNull()) return nullptr;
    if (level > most_levels) refuse_depth(path);
    json converted;
    if (node.IsSequence()) {
      converted = json::array();
      for (const YAML::Node& element : node) {
        const auto inner = fmt::format("{}[{}]", path, converted.size());
        converted.push_back(convert(element, inner, level + 1));
      }
    } else {
      converted = json::object();
      for (const auto& member : node) {
        if (!member.first.IsScalar()) {
          throw Refusal{fmt::format("{} has a key that is not text", base::printable(path))};
        }
        const std::string& name = member.first.Scalar();
        const auto inner = member_of(path, name);
        if (converted.contains(name)) refuse_repetition(inner);
        converted[name] = convert(member.second, inner, level + 1);
      }
    }
    return converted;
  }

 private:
  static json scalar(const YAML::Node& node, const std::string& path) {
    const std::string& text = node.Scalar();
    const std::string& tag = node.Tag();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return text;
    if (tag != "?" && !tag.empty()) {
      throw Refusal{
          fmt::format("{} has the tag {}; leave it out", base::printable(path), base::quoted(tag))};
    }
    if (has_nul(text)) return text;
    const json value = json::parse(text, nullptr, false);
    const bool is_plain = value.is_number() || value.is_boolean() || value.is_null();
    return is_plain ? value : json(text);
  }

  std::size_t values_ = 0;
};

}  // namespace

Result<json> parse_json(std::string_view text) {
  try {
    if (has_nul(text)) return refuse_document("a NUL byte is not JSON; leave it out");
    return json::parse(text, JsonWatch());
  } catch (const Refusal& refusal) {
    return refuse_document(refusal.message);
  } catch (const json::exception& failure) {
    const std::string_view message = failure.what();
    const auto prefix = message.find("] ");
    return refuse_document(
        fmt::format("{}; correct the JSON there",
                    base::printable(message.substr(prefix == message.npos ? 0 : prefix + 2))));
  }
}

Result<json> parse_yaml(std::string_view text) {
  try {
    const auto documents = YAML::LoadAll(std::string(text));
    if (documents.size() != 1) {
      return refuse_document(fmt::format("has {} YAML documents; give one", documents.size()));
    }
    return YamlConverter().convert(documents.front(), "");
  } catch (const Refusal& refusal) {
    return refuse_document(refusal.message);
  } catch (const YAML::Exception& failure) {
    return refuse_document(fmt::format("line {}, column {}: {}; correct the YAML there",
                                       failure.mark.line + 1, failure.mark.column + 1,
                                       base::printable(failure.msg)));
  }
}

}  // namespace hyperpod::emulator::faults
