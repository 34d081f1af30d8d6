# SPDX-License-Identifier: Apache-2.0
# spdlog as Debian's shared library of it, of which there is no static one: made of its headers, and with the same
# definitions for its users, so that a portable build shares compiled objects with others.
find_package(fmt REQUIRED)
find_path(spdlog_INCLUDE_DIR spdlog/spdlog.h REQUIRED)
if(NOT TARGET spdlog::spdlog)
  add_library(hyperpod_portable_spdlog STATIC ${CMAKE_CURRENT_LIST_DIR}/spdlog.cc)
  target_compile_features(hyperpod_portable_spdlog PRIVATE cxx_std_20)
  target_link_libraries(hyperpod_portable_spdlog PRIVATE spdlog::spdlog)
  set_target_properties(hyperpod_portable_spdlog PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_library(spdlog::spdlog INTERFACE IMPORTED GLOBAL)
  target_compile_definitions(spdlog::spdlog INTERFACE SPDLOG_SHARED_LIB SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)
  target_link_libraries(spdlog::spdlog INTERFACE $<LINK_ONLY:hyperpod_portable_spdlog> fmt::fmt)
endif()
set(spdlog_FOUND TRUE)
