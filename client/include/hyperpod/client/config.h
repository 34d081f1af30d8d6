// Reads a client's options from where LMCache reads them: its YAML file and its environment
// variables. docs/client.md lists the keys.
//
// Everything here is a pure function of its arguments, the file and the environment handed in.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/client/error.h"
#include "hyperpod/client/options.h"

namespace hyperpod::client {

/// Looks up an environment variable; nullopt if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// The variables of this process.
Environment process_environment();

struct LoadedOptions {
  ClientOptions options;
  /// The keys of the extra_config in force that are ours, in alphabetical order.
  std::vector<std::string> keys;
  /// One sentence for each key that looks like ours and is unknown.
  std::vector<std::string> warnings;
};

/// In LMCache's order of precedence, later ones winning: the defaults; the file, which is `file` or
/// else the one that LMCACHE_CONFIG_FILE names, if any; LMCACHE_REMOTE_URL; LMCACHE_EXTRA_CONFIG, a
/// JSON object that replaces the file's extra_config as a whole. Keys that other parts of LMCache
/// use are ignored. Errors (invalid_option) name the file or variable and the key.
Result<LoadedOptions> load_options(const std::optional<std::string>& file = {},
                                   const Environment& environment = process_environment());

/// The same from the text of a file, without any environment variable. `name` is what errors call
/// the text.
Result<LoadedOptions> parse_options(std::string_view yaml, const std::string& name);

}  // namespace hyperpod::client
