# SPDX-License-Identifier: Apache-2.0
# spdlog from its headers alone: Debian has no static library of it.
find_package(fmt REQUIRED)
find_path(spdlog_INCLUDE_DIR spdlog/spdlog.h REQUIRED)
if(NOT TARGET spdlog::spdlog)
  add_library(spdlog::spdlog INTERFACE IMPORTED GLOBAL)
  target_compile_definitions(spdlog::spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
  target_link_libraries(spdlog::spdlog INTERFACE fmt::fmt)
endif()
set(spdlog_FOUND TRUE)
