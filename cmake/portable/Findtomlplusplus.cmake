# SPDX-License-Identifier: Apache-2.0
# toml++ from its headers alone: Debian has no static library of it.
find_path(tomlplusplus_INCLUDE_DIR toml++/toml.h REQUIRED)
if(NOT TARGET tomlplusplus::tomlplusplus)
  add_library(tomlplusplus::tomlplusplus INTERFACE IMPORTED GLOBAL)
endif()
set(tomlplusplus_FOUND TRUE)
