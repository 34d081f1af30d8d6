// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "config_json.h"
#include "config_value.h"
#include "config_variable.h"
#include "config_yaml.h"
#include "invalid_option.h"

namespace hyperpod::client {
namespace {

constexpr const char* prefix = "sagemaker_hyperpod_";

bool is_collection(const ConfigValue& value) {
  return value.kind == ConfigValue::Kind::sequence || value.kind == ConfigValue::Kind::mapping ||
         value.kind == ConfigValue::Kind::bytes;
}

// Takes our parameters out of an extra_config, one by one, as LMCache converts them. Remembers the
// first error, what the user should know, and which keys were asked for.
class ParameterReader {
 public:
  ParameterReader(const ConfigValue& extra_config, std::string source, LoadedOptions& loaded)
      : values_(extra_config.entries), source_(std::move(source)), loaded_(loaded) {}

  // str(value)
  void text(const std::string& key, std::string& value) {
    const ConfigValue* found = find(key);
    if (found == nullptr) return;
    if (is_collection(*found)) {
      fail(key, "must be text");
    } else {
      value = found->text;
    }
  }

  // What is false to Python (nothing, empty text, false, 0) means none, and so does the text
  // "None", which is what YAML makes of the word that LMCache's page writes.
  void optional_text(const std::string& key, std::optional<std::string>& value) {
    const ConfigValue* found = find(key);
    if (found == nullptr) return;
    if (!found->truth || found->text == "None") {
      value.reset();
    } else if (found->kind == ConfigValue::Kind::text) {
      value = found->text;
    } else {
      fail(key, "must be text");
    }
  }

  // bool(value): any text is true.
  void flag(const std::string& key, bool& value) {
    const ConfigValue* found = find(key);
    if (found == nullptr) return;
    value = found->truth;
    constexpr std::array<std::string_view, 5> looks_false = {"false", "no", "off", "0", "none"};
    std::string lower = found->text;
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (found->kind == ConfigValue::Kind::text &&
        std::ranges::find(looks_false, lower) != looks_false.end()) {
      warn(
          fmt::format("{} in {} is the text \"{}\", which counts as true, as in LMCache; write "
                      "false without quotes",
                      key, source_, found->text));
    }
  }

  // float(value), positive; false if the key is absent or was refused. More than `limit` becomes
  // `limit`.
  bool number(const std::string& key, double limit, double& value) {
    const ConfigValue* found = find(key);
    if (found == nullptr) return false;
    const auto number = to_decimal(*found);
    if (!number || std::isnan(*number)) return fail(key, "must be a number");
    return take(key, *number, limit, value);
  }

  // int(value), positive: decimals are cut off, and text must be a whole number.
  template <class T>
  bool whole(const std::string& key, double limit, T& value) {
    const ConfigValue* found = find(key);
    if (found == nullptr) return false;
    const auto number = to_integer(*found);
    if (!number) return fail(key, "must be a whole number");
    double taken = 0;
    if (!take(key, *number, limit, taken)) return false;
    value = static_cast<T>(taken);
    return true;
  }

  // Whether the key is there and has no value, where that means the default.
  bool is_none(const std::string& key) {
    const ConfigValue* found = find(key);
    return found != nullptr && found->kind == ConfigValue::Kind::none;
  }

  bool fail(const std::string& key, const std::string& what) {
    if (!error_) {
      error_ = invalid(
          fmt::format("{} in {} {}, but is {}", key, source_, what, describe(values_.at(key))));
    }
    return false;
  }

  // Tells the parameters that were there, and those nobody asked for, which are probably misspelt.
  Result<void> finish() {
    if (error_) return tl::unexpected(*error_);
    for (const auto& [key, value] : values_) {
      if (std::ranges::find(asked_, key) != asked_.end()) {
        loaded_.keys.push_back(key);
      } else if (key.starts_with(prefix)) {
        warn(fmt::format("{} has the unknown key {}; is it misspelt?", source_, key));
      }
    }
    return {};
  }

 private:
  const ConfigValue* find(const std::string& key) {
    asked_.push_back(key);
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  bool take(const std::string& key, double number, double limit, double& value) {
    if (number <= 0) return fail(key, "must be positive");
    if (number > limit) {
      warn(fmt::format("{} in {} is {}, and is lowered to the most there can be, {:.0f}", key,
                       source_, describe(values_.at(key)), limit));
    }
    value = std::min(number, limit);
    return true;
  }

  void warn(std::string sentence) { loaded_.warnings.push_back(std::move(sentence)); }

  const std::map<std::string, ConfigValue>& values_;
  std::string source_;
  LoadedOptions& loaded_;
  std::vector<std::string> asked_;
  std::optional<Error> error_;
};

constexpr double max_count = std::numeric_limits<std::uint32_t>::max();
constexpr double max_milliseconds = 365.0 * 24 * 3600 * 1000;
constexpr double max_seconds = 365.0 * 24 * 3600;
constexpr double max_bytes = 1ull << 50;
constexpr double mebibyte = 1ull << 20;

// Where a value stands in the configuration that is in force.
struct Sources {
  std::optional<std::string> remote_url;
  ConfigValue extra_config = {};  // a mapping, or none
  std::string extra_config_source = "the configuration";
  bool use_layerwise = false;
  std::vector<std::string> warnings = {};
};

Result<void> apply_extra_config(const Sources& sources, LoadedOptions& loaded) {
  ClientOptions& options = loaded.options;
  ParameterReader read(sources.extra_config, sources.extra_config_source, loaded);
  const auto key = [](const char* name) { return std::string(prefix) + name; };

  read.text(key("bucket"), options.bucket);
  read.optional_text(key("shared_memory_name"), options.shared_memory_name);
  if (options.shared_memory_name && options.shared_memory_name->starts_with('/')) {
    options.shared_memory_name->erase(0, options.shared_memory_name->find_first_not_of('/'));
  }
  read.whole(key("max_concurrent_requests"), max_count, options.max_concurrent_requests);
  read.whole(key("max_connections"), max_count, options.max_connections);
  read.whole(key("max_connections_per_host"), max_count, options.max_connections_per_host);
  std::int64_t count = 0;
  if (read.whole(key("timeout_ms"), max_milliseconds, count)) {
    options.timeout = std::chrono::milliseconds{count};
  }
  if (read.whole(key("lease_wait_timeout_ms"), max_milliseconds, count)) {
    options.lease_wait_timeout = std::chrono::milliseconds{count};
  }
  double number = 0;
  if (read.number(key("lease_ttl_s"), max_seconds, number)) {
    options.lease_ttl = std::chrono::duration_cast<Duration>(std::chrono::duration<double>{number});
  }
  read.whole(key("put_stream_chunk_bytes"), max_bytes, options.put_stream_chunk_bytes);
  const std::string lease_size = key("max_lease_size_mb");
  if (!read.is_none(lease_size) &&
      read.number(lease_size, std::numeric_limits<double>::infinity(), number)) {
    if (std::isinf(number * mebibyte)) {
      read.fail(lease_size, "must be finite");
    } else {
      options.max_lease_bytes = static_cast<std::uint64_t>(std::min(number * mebibyte, max_bytes));
    }
  }
  read.flag(key("use_https"), options.use_https);
  const std::string ca_file = key("tls_ca_file");
  if (!read.is_none(ca_file)) read.text(ca_file, options.tls.ca_file);
  read.flag(key("tls_verify"), options.tls.verify_server);
  read.flag("save_chunk_meta", options.save_chunk_meta);
  if (sources.use_layerwise) options.save_chunk_meta = true;
  return read.finish();
}

// What extra_config is, given as a mapping or as JSON. LMCache goes on without one where the JSON
// cannot be read, and so does this: the result is empty then, and `sources` gets a warning.
Result<std::optional<ConfigValue>> read_extra_config(const ConfigValue& given,
                                                     const std::string& where, Sources& sources) {
  if (given.kind == ConfigValue::Kind::mapping) return std::optional(given);
  if (!given.truth) return std::optional(ConfigValue{});
  if (given.kind != ConfigValue::Kind::text) {
    return tl::unexpected(invalid(
        fmt::format("{} must be a mapping or a JSON object, but is {}", where, describe(given))));
  }
  auto parsed = parse_json(given.text);
  if (!parsed) {
    sources.warnings.push_back(
        fmt::format("{} is ignored, as LMCache ignores it, because it is not JSON: {}", where,
                    parsed.error().message));
    return std::optional<ConfigValue>{};
  }
  if (parsed->kind == ConfigValue::Kind::mapping || parsed->kind == ConfigValue::Kind::none) {
    return std::optional(*std::move(parsed));
  }
  return tl::unexpected(
      invalid(fmt::format("{} must be a JSON object, but is {}", where, describe(*parsed))));
}

// LMCache's rule for its own flags.
bool is_true(const ConfigValue& value) {
  if (value.kind == ConfigValue::Kind::boolean) return value.truth;
  std::string lower(python_strip(value.text));
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return lower == "true" || lower == "1";
}

Result<Sources> read_yaml(std::string_view yaml, const std::string& name) {
  Sources sources;
  sources.extra_config_source = name;
  const auto root = parse_yaml(yaml);
  if (!root) {
    return tl::unexpected(
        invalid(fmt::format("{} cannot be read as YAML: {}", name, root.error().message)));
  }
  if (!root->truth) return sources;
  if (root->kind != ConfigValue::Kind::mapping) {
    return tl::unexpected(
        invalid(fmt::format("{} must be a mapping, but is {}", name, describe(*root))));
  }
  const auto find = [&root](const char* key) -> const ConfigValue* {
    const auto found = root->entries.find(key);
    return found == root->entries.end() ? nullptr : &found->second;
  };
  if (const ConfigValue* url = find("remote_url"); url != nullptr && url->truth) {
    if (is_collection(*url)) {
      return tl::unexpected(
          invalid(fmt::format("remote_url in {} must be text, but is {}", name, describe(*url))));
    }
    sources.remote_url = url->text;
  }
  if (const ConfigValue* layerwise = find("use_layerwise"); layerwise != nullptr) {
    sources.use_layerwise = is_true(*layerwise);
  }
  if (const ConfigValue* extra = find("extra_config"); extra != nullptr) {
    auto extra_config = read_extra_config(*extra, fmt::format("extra_config in {}", name), sources);
    if (!extra_config) return tl::unexpected(std::move(extra_config).error());
    if (*extra_config) sources.extra_config = **std::move(extra_config);
  }
  for (const auto& [key, value] : root->entries) {
    if (!key.starts_with(prefix)) continue;
    sources.warnings.push_back(fmt::format(
        "{} has {} outside extra_config, where LMCache ignores it, and so does this; move it there",
        name, key));
  }
  return sources;
}

Result<std::string> read_file(const std::string& path, bool from_variable) {
  std::ifstream file(path, std::ios::binary);
  const bool opened = file.is_open();
  std::string text;
  std::array<char, 4096> buffer;
  constexpr std::size_t longest = 1 << 20;  // a device has no end
  while (file && text.size() <= longest) {
    file.read(buffer.data(), buffer.size());  // a directory sets badbit here; an iterator throws
    text.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!opened || file.bad()) {
    std::string message =
        fmt::format("the configuration file '{}' cannot be read: {}", path, std::strerror(errno));
    if (from_variable && variable_value(path) != path) {
      message +=
          "; LMCACHE_CONFIG_FILE has quotes or white space around the name, which belong "
          "to it there, as in LMCache: remove them";
    }
    return tl::unexpected(invalid(std::move(message)));
  }
  if (text.size() > longest) {
    return tl::unexpected(invalid(fmt::format(
        "the configuration file '{}' is larger than 1 MiB; name a smaller file", path)));
  }
  return text;
}

// An LMCACHE_* variable; nullopt if it is not set or empty.
std::optional<std::string> variable(const Environment& environment, const char* name) {
  auto text = environment(name);
  if (!text) return std::nullopt;
  auto value = variable_value(*text);
  if (value.empty()) return std::nullopt;
  return value;
}

Result<void> apply_variables(const Environment& environment, Sources& sources) {
  if (auto url = variable(environment, "LMCACHE_REMOTE_URL")) {
    sources.remote_url = *std::move(url);
  }
  if (const auto layerwise = variable(environment, "LMCACHE_USE_LAYERWISE")) {
    sources.use_layerwise = is_true(ConfigValue::of_text(*layerwise));
  }
  constexpr const char* extra_name = "LMCACHE_EXTRA_CONFIG";
  if (const auto text = variable(environment, extra_name)) {
    auto extra = read_extra_config(ConfigValue::of_text(*text), extra_name, sources);
    if (!extra) return tl::unexpected(std::move(extra).error());
    if (*extra) {
      sources.extra_config = **std::move(extra);
      sources.extra_config_source = extra_name;
    }
  }
  return {};
}

Result<LoadedOptions> build(const Sources& sources) {
  LoadedOptions loaded;
  loaded.warnings = sources.warnings;
  if (sources.remote_url) loaded.options.remote_url = *sources.remote_url;
  auto applied = apply_extra_config(sources, loaded);
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
  const auto sources = read_yaml(yaml, name);
  if (!sources) return tl::unexpected(sources.error());
  return build(*sources);
}

Result<LoadedOptions> load_options(const std::optional<std::string>& file,
                                   const Environment& environment) {
  Sources sources;
  const auto named = environment("LMCACHE_CONFIG_FILE");
  const bool from_variable = !file && named && !named->empty();
  if (file || from_variable) {
    const std::string& path = file ? *file : *named;
    const auto text = read_file(path, from_variable);
    if (!text) return tl::unexpected(text.error());
    auto from_file = read_yaml(*text, path);
    if (!from_file) return tl::unexpected(std::move(from_file).error());
    sources = *std::move(from_file);
  }
  if (auto applied = apply_variables(environment, sources); !applied) {
    return tl::unexpected(std::move(applied).error());
  }
  return build(sources);
}

}  // namespace hyperpod::client
