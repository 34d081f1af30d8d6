# Copies the client's sources from SOURCE to TARGET and puts defects into them, as mutations.cmake says:
# cmake -DSOURCE=client/src -DTARGET=… -P mutate.cmake
cmake_minimum_required(VERSION 3.25)

# mutate(FILE OLD NEW): in FILE, OLD, which stands there exactly once, becomes NEW.
function(mutate file old new)
  set(path ${TARGET}/${file})
  file(READ ${path} text)
  string(FIND "${text}" "${old}" first)
  string(FIND "${text}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "client/src/${file} no longer has exactly once:\n${old}\n"
                        "Bring conformance/defects/client/mutations.cmake up to date with the client.")
  endif()
  string(REPLACE "${old}" "${new}" text "${text}")
  if(NOT text MATCHES "#include \"defect.h\"")
    string(PREPEND text "#include \"defect.h\"\n")
  endif()
  file(WRITE ${path} "${text}")
endfunction()

file(GLOB sources RELATIVE ${SOURCE} ${SOURCE}/*.cc ${SOURCE}/*.h)
list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
file(MAKE_DIRECTORY ${TARGET})
foreach(file IN LISTS sources)
  file(COPY_FILE ${SOURCE}/${file} ${TARGET}/${file})
endforeach()
include(${CMAKE_CURRENT_LIST_DIR}/mutations.cmake)
