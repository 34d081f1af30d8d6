// SPDX-License-Identifier: Apache-2.0
// Reads YAML as LMCache does: with the values that PyYAML's safe_load gives, which follows YAML 1.1
// (`yes` is true, 010 is 8, 1:30 is 90, 1e5 is text, `<<` merges), and an error where safe_load
// raises one. The parsing itself is libyaml's, which has PyYAML's author and grammar.
//
// What differs: nesting beyond 200 levels and merges beyond a million entries are errors here, and
// so are directives other than %YAML and %TAG, escapes of surrogates (as json.dumps() writes an
// emoji, unless ensure_ascii is false) and a byte order mark behind the beginning; binary values
// are not decoded; a comment may begin directly behind the | or > of a block, and a tab may end
// that line; and between brackets or braces libyaml refuses a plain scalar that ends in a colon,
// refuses a lone question mark, and takes a comma as the end of a tag.
#pragma once

#include <string_view>

#include "config_value.h"
#include "hyperpod/client/error.h"

namespace hyperpod::client {

/// The document in `text`, which is UTF-8. Mappings hold their entries down to the second level,
/// the mappings in the document's own mapping; deeper ones are told to be there, without entries.
/// An empty document is a value of Kind::none. Errors (invalid_option): "line N: what is wrong".
Result<ConfigValue> parse_yaml(std::string_view text);

}  // namespace hyperpod::client
