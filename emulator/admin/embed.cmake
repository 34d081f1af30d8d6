# SPDX-License-Identifier: Apache-2.0
# Writes text files into a C++ source as constants:
#   cmake -D OUTPUT=FILE -D NAMES=a:b -D FILES=x:y -P embed.cmake
# Each NAME becomes a std::string_view of hyperpod::emulator::admin::embedded with what stands in its FILE; of a
# directory, all of its *.yaml, each behind a line "#: NAME OF THE FILE".
string(REPLACE ":" ";" names "${NAMES}")
string(REPLACE ":" ";" files "${FILES}")
set(text "// Made by embed.cmake.\n#include \"admin/embedded.h\"\n\nnamespace hyperpod::emulator::admin::embedded {\n\n")
foreach(name file IN ZIP_LISTS names files)
  set(content "")
  if(IS_DIRECTORY "${file}")
    file(GLOB parts LIST_DIRECTORIES false "${file}/*.yaml")
    foreach(part IN LISTS parts)
      get_filename_component(title "${part}" NAME_WE)
      file(READ "${part}" more)
      string(APPEND content "#: ${title}\n${more}")
    endforeach()
  else()
    file(READ "${file}" content)
  endif()
  string(APPEND text "const std::string_view ${name} = R\"embedded(${content})embedded\";\n\n")
endforeach()
string(APPEND text "}  // namespace hyperpod::emulator::admin::embedded\n")
file(WRITE "${OUTPUT}" "${text}")
