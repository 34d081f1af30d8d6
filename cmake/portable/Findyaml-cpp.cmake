# SPDX-License-Identifier: Apache-2.0
# yaml-cpp's static library.
find_library(yaml-cpp_LIBRARY libyaml-cpp.a REQUIRED)
if(NOT TARGET yaml-cpp)
  add_library(yaml-cpp STATIC IMPORTED GLOBAL)
  set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION ${yaml-cpp_LIBRARY})
endif()
set(yaml-cpp_FOUND TRUE)
