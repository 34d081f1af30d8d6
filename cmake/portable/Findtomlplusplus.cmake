# SPDX-License-Identifier: Apache-2.0
# tomlplusplus as Debian's shared library of it, of which there is no static one: made of its headers, and with the same
# definitions for its users, so that a portable build shares compiled objects with others.
find_path(tomlplusplus_INCLUDE_DIR toml++/toml.h REQUIRED)
if(NOT TARGET tomlplusplus::tomlplusplus)
  add_library(hyperpod_portable_tomlplusplus STATIC ${CMAKE_CURRENT_LIST_DIR}/tomlplusplus.cc)
  target_compile_features(hyperpod_portable_tomlplusplus PRIVATE cxx_std_20)
  target_link_libraries(hyperpod_portable_tomlplusplus PRIVATE tomlplusplus::tomlplusplus)
  set_target_properties(hyperpod_portable_tomlplusplus PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_library(tomlplusplus::tomlplusplus INTERFACE IMPORTED GLOBAL)
  target_compile_options(tomlplusplus::tomlplusplus INTERFACE -DTOML_HEADER_ONLY=0 -DTOML_SHARED_LIB=1)
  target_link_libraries(tomlplusplus::tomlplusplus INTERFACE $<LINK_ONLY:hyperpod_portable_tomlplusplus>)
endif()
set(tomlplusplus_FOUND TRUE)
