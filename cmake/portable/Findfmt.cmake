# SPDX-License-Identifier: Apache-2.0
# fmt as Debian's shared library of it, of which there is no static one: made of its headers, and with the same
# definitions for its users, so that a portable build shares compiled objects with others.
find_path(fmt_INCLUDE_DIR fmt/format.h REQUIRED)
if(NOT TARGET fmt::fmt)
  add_library(hyperpod_portable_fmt STATIC ${CMAKE_CURRENT_LIST_DIR}/fmt.cc)
  target_compile_features(hyperpod_portable_fmt PRIVATE cxx_std_20)
  target_link_libraries(hyperpod_portable_fmt PRIVATE fmt::fmt)
  set_target_properties(hyperpod_portable_fmt PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_library(fmt::fmt INTERFACE IMPORTED GLOBAL)
  target_compile_definitions(fmt::fmt INTERFACE FMT_SHARED)
  target_link_libraries(fmt::fmt INTERFACE $<LINK_ONLY:hyperpod_portable_fmt>)
endif()
set(fmt_FOUND TRUE)
