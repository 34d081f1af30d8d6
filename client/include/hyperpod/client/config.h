// SPDX-License-Identifier: Apache-2.0
// Reads a client's options from where LMCache reads them, with the values that LMCache reads there:
// its YAML file (as PyYAML's safe_load() has it) and its environment variables. docs/client.md
// lists the keys.
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
  /// One sentence for each thing that the user probably did not mean: a key that looks like ours
  /// and is unknown, a value that is lowered, text where a flag is expected, an extra_config that
  /// is ignored because it is not JSON.
  std::vector<std::string> warnings;
};

/// In LMCache's order of precedence, later ones winning: the defaults; the file, which is `file` or
/// else the one that LMCACHE_CONFIG_FILE names, if any; LMCACHE_REMOTE_URL; LMCACHE_EXTRA_CONFIG, a
/// JSON object that replaces the file's extra_config as a whole, and is ignored with a warning if
/// it is not JSON. Of these two (and of LMCACHE_USE_LAYERWISE, which switches save_chunk_meta on)
/// white space and quotes around the value are removed. A variable that is empty counts as not set.
/// Keys that other parts of LMCache use are ignored. Errors (invalid_option) name the file or
/// variable and the key.
Result<LoadedOptions> load_options(const std::optional<std::string>& file = {},
                                   const Environment& environment = process_environment());

/// The same from the text of a file, without any environment variable. `name` is what errors call
/// the text.
Result<LoadedOptions> parse_options(std::string_view yaml, const std::string& name);

}  // namespace hyperpod::client
