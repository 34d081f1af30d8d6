#include "hyperpod/client/config.h"

#include <spdlog/fmt/fmt.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace hyperpod::client {
namespace {

using Json = nlohmann::json;

constexpr const char* prefix = "sagemaker_hyperpod_";

Error invalid(std::string message) { return {ErrorCode::invalid_option, std::move(message)}; }

// Plain YAML scalars are typed as LMCache's YAML 1.1 reader types them, as far as our keys need it:
// null, booleans, whole and decimal numbers; all else is text.
Json scalar_to_json(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  const auto is_one_of = [&text](std::initializer_list<const char*> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (is_one_of({"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) return true;
  if (is_one_of({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) return false;

  const char* const end = text.data() + text.size();
  std::int64_t whole = 0;
  if (auto [at, error] = std::from_chars(text.data(), end, whole);
      error == std::errc{} && at == end)
    return whole;
  double decimal = 0;
  if (auto [at, error] = std::from_chars(text.data(), end, decimal);
      error == std::errc{} && at == end)
    return decimal;
  return text;
}

// One level of a mapping; what lies deeper is none of our keys.
Result<Json> mapping_to_json(const YAML::Node& node, const std::string& source) {
  if (!node || node.IsNull()) return Json::object();
  if (node.IsScalar()) {
    Json parsed = Json::parse(node.Scalar(), nullptr, false);
    if (parsed.is_object()) return parsed;
  }
  if (!node.IsMap()) {
    return tl::unexpected(invalid(fmt::format("extra_config of {} must be a mapping", source)));
  }
  Json object = Json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) continue;
    object[entry.first.Scalar()] = entry.second.IsScalar() || entry.second.IsNull()
                                       ? scalar_to_json(entry.second)
                                       : Json::array();
  }
  return object;
}

// Takes our parameters out of an extra_config, one by one, remembering the first error and which
// keys were asked for.
class ParameterReader {
 public:
  ParameterReader(const Json& extra_config, std::string source)
      : values_(extra_config), source_(std::move(source)) {}

  void text(const std::string& key, std::string& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_string()) {
      value = found->get<std::string>();
    } else if (found->is_number() || found->is_boolean()) {
      value = found->dump();
    } else {
      fail(key, "must be text");
    }
  }

  // Null, "None" as Python spells it, and the empty string mean none.
  void optional_text(const std::string& key, std::optional<std::string>& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_null() || *found == "None" || *found == "") {
      value.reset();
    } else {
      value.emplace();
      text(key, *value);
    }
  }

  void flag(const std::string& key, bool& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_boolean()) {
      value = found->get<bool>();
    } else if (*found == 1 || *found == "true" || *found == "True" || *found == "1") {
      value = true;
    } else if (*found == 0 || *found == "false" || *found == "False" || *found == "0") {
      value = false;
    } else {
      fail(key, "must be true or false");
    }
  }

  // A positive number of at most `limit`; false if the key is absent or was refused.
  bool number(const std::string& key, double limit, double& value) {
    const Json* found = find(key);
    if (found == nullptr) return false;
    double parsed = std::numeric_limits<double>::quiet_NaN();
    if (found->is_number()) {
      parsed = found->get<double>();
    } else if (found->is_string()) {
      const auto& digits = found->get_ref<const std::string&>();
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
      if (error != std::errc{} || end != digits.data() + digits.size()) {
        parsed = std::numeric_limits<double>::quiet_NaN();
      }
    }
    if (!std::isfinite(parsed)) return fail(key, "must be a number");
    if (parsed <= 0) return fail(key, "must be positive");
    if (parsed > limit) return fail(key, fmt::format("must not exceed {}", limit));
    value = parsed;
    return true;
  }

  // A positive whole number; decimals are cut off, as LMCache's int() does.
  template <class T>
  bool whole(const std::string& key, double limit, T& value) {
    double parsed = 0;
    if (!number(key, limit, parsed)) return false;
    if (parsed < 1) return fail(key, "must be positive");
    value = static_cast<T>(parsed);
    return true;
  }

  // Tells the parameters that were there, and those nobody asked for, which are probably misspelt.
  Result<void> finish(LoadedOptions& loaded) const {
    if (error_) return tl::unexpected(*error_);
    for (const auto& [key, value] : values_.items()) {
      if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) {
        loaded.keys.push_back(key);
      } else if (key.starts_with(prefix)) {
        loaded.warnings.push_back(
            fmt::format("{} has the unknown key {}; is it misspelt?", source_, key));
      }
    }
    return {};
  }

 private:
  const Json* find(const std::string& key) {
    asked_.push_back(key);
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &*found;
  }

  bool fail(const std::string& key, const std::string& what) {
    if (!error_) {
      error_ = invalid(
          fmt::format("{} in {} {}, but is {}", key, source_, what,
                      values_.at(key).dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
    return false;
  }

  const Json& values_;
  std::string source_;
  std::vector<std::string> asked_;
  std::optional<Error> error_;
};

constexpr double max_count = std::numeric_limits<std::uint32_t>::max();
constexpr double max_milliseconds = 365.0 * 24 * 3600 * 1000;
constexpr double max_seconds = 365.0 * 24 * 3600;
constexpr double max_bytes = 1ull << 50;
constexpr double mebibyte = 1ull << 20;

Result<void> apply_extra_config(const Json& extra_config, const std::string& source,
                                LoadedOptions& loaded) {
  ClientOptions& options = loaded.options;
  ParameterReader read(extra_config, source);
  const auto key = [](const char* name) { return std::string(prefix) + name; };

  read.text(key("bucket"), options.bucket);
  read.optional_text(key("shared_memory_name"), options.shared_memory_name);
  if (options.shared_memory_name && options.shared_memory_name->starts_with('/')) {
    options.shared_memory_name->erase(0, options.shared_memory_name->find_first_not_of('/'));
  }
  read.whole(key("max_concurrent_requests"), max_count, options.max_concurrent_requests);
  read.whole(key("max_connections"), max_count, options.max_connections);
  read.whole(key("max_connections_per_host"), max_count, options.max_connections_per_host);
  std::int64_t milliseconds = 0;
  if (read.whole(key("timeout_ms"), max_milliseconds, milliseconds)) {
    options.timeout = std::chrono::milliseconds{milliseconds};
  }
  if (read.whole(key("lease_wait_timeout_ms"), max_milliseconds, milliseconds)) {
    options.lease_wait_timeout = std::chrono::milliseconds{milliseconds};
  }
  double number = 0;
  if (read.number(key("lease_ttl_s"), max_seconds, number)) {
    options.lease_ttl = std::chrono::duration_cast<Duration>(std::chrono::duration<double>{number});
  }
  read.whole(key("put_stream_chunk_bytes"), max_bytes, options.put_stream_chunk_bytes);
  if (read.number(key("max_lease_size_mb"), max_bytes / mebibyte, number)) {
    options.max_lease_bytes = static_cast<std::uint64_t>(number * mebibyte);
  }
  read.flag(key("use_https"), options.use_https);
  read.text(key("tls_ca_file"), options.tls.ca_file);
  read.flag(key("tls_verify"), options.tls.verify_server);
  read.flag("save_chunk_meta", options.save_chunk_meta);
  return read.finish(loaded);
}

struct Parsed {
  std::optional<std::string> remote_url;
  Json extra_config = Json::object();
};

Result<Parsed> parse_yaml(std::string_view yaml, const std::string& name) try {
  Parsed parsed;
  const YAML::Node root = YAML::Load(std::string(yaml));
  if (!root || root.IsNull()) return parsed;
  if (!root.IsMap()) return tl::unexpected(invalid(fmt::format("{} must be a mapping", name)));
  if (const YAML::Node url = root["remote_url"]; url && !url.IsNull()) {
    if (!url.IsScalar()) {
      return tl::unexpected(invalid(fmt::format("remote_url in {} must be text", name)));
    }
    parsed.remote_url = url.Scalar();
  }
  auto extra = mapping_to_json(root["extra_config"], name);
  if (!extra) return tl::unexpected(std::move(extra).error());
  parsed.extra_config = *std::move(extra);
  return parsed;
} catch (const YAML::Exception& e) {
  return tl::unexpected(invalid(fmt::format("{} is no YAML: {}", name, e.what())));
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const bool opened = file.is_open();
  std::string text;
  std::array<char, 4096> buffer;
  while (file) {
    file.read(buffer.data(), buffer.size());  // a directory sets badbit here; an iterator throws
    text.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!opened || file.bad()) {
    return tl::unexpected(invalid(
        fmt::format("the configuration file '{}' cannot be read: {}", path, std::strerror(errno))));
  }
  return text;
}

// LMCache takes quotes around the value of a variable away.
std::string unquote(std::string text) {
  if (text.size() >= 2 && text.front() == text.back() &&
      (text.front() == '\'' || text.front() == '"')) {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

Result<LoadedOptions> build(const Parsed& parsed, const std::string& source) {
  LoadedOptions loaded;
  if (parsed.remote_url) loaded.options.remote_url = *parsed.remote_url;
  auto applied = apply_extra_config(parsed.extra_config, source, loaded);
  if (!applied) return tl::unexpected(std::move(applied).error());
  return loaded;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<LoadedOptions> parse_options(std::string_view yaml, const std::string& name) {
  auto parsed = parse_yaml(yaml, name);
  if (!parsed) return tl::unexpected(std::move(parsed).error());
  return build(*parsed, name);
}

Result<LoadedOptions> load_options(const std::optional<std::string>& file,
                                   const Environment& environment) {
  Parsed parsed;
  std::string source = "the configuration";
  if (const auto path = file ? file : environment("LMCACHE_CONFIG_FILE")) {
    auto text = read_file(*path);
    if (!text) return tl::unexpected(std::move(text).error());
    auto from_file = parse_yaml(*text, *path);
    if (!from_file) return tl::unexpected(std::move(from_file).error());
    parsed = *std::move(from_file);
    source = *path;
  }
  if (auto url = environment("LMCACHE_REMOTE_URL")) parsed.remote_url = unquote(*std::move(url));
  if (auto extra = environment("LMCACHE_EXTRA_CONFIG")) {
    source = "LMCACHE_EXTRA_CONFIG";
    parsed.extra_config = Json::parse(unquote(*std::move(extra)), nullptr, false);
    if (!parsed.extra_config.is_object()) {
      return tl::unexpected(invalid("LMCACHE_EXTRA_CONFIG must be a JSON object"));
    }
  }
  return build(parsed, source);
}

}  // namespace hyperpod::client
