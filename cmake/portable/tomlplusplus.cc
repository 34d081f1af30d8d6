// SPDX-License-Identifier: Apache-2.0
// What Debian's shared library of toml++ has, from its headers.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
