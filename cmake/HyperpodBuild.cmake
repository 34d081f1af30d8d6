# SPDX-License-Identifier: Apache-2.0
# Build settings that every target of the project shares.

option(HYPERPOD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_BENCH "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
# Off where sanitizers distort the times that the suite judges by.
option(HYPERPOD_CONFORMANCE "Build the conformance suite" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_PYTHON "Build the Python package's extension module" OFF)
option(HYPERPOD_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(HYPERPOD_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_ASSERTIONS "Check what functions REQUIRE; for builds that are tested" OFF)
option(HYPERPOD_PRECOMPILE "Precompile the headers of libraries (g++ only); the presets set it" OFF)
option(HYPERPOD_UNITY "Compile several files of a target as one; the presets set it" OFF)
option(HYPERPOD_PORTABLE "Link libstdc++ and third-party libraries in; programs need glibc 2.34 alone" OFF)
option(HYPERPOD_FETCH "Fetch pinned releases of libraries that the system lacks, for programs alone" OFF)
set(HYPERPOD_SANITIZE "" CACHE STRING "Value of -fsanitize= for every target, e.g. thread")

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

# Worktrees of one repository share what they have in common, debug information and precompiled headers included:
# paths are relative to the source tree, and the time stamps of headers do not count.
find_program(HYPERPOD_CCACHE ccache)
if(HYPERPOD_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_ctime,include_file_mtime ${HYPERPOD_CCACHE})
endif()

# Static libraries where the distribution has them, headers alone where it has not.
if(HYPERPOD_PORTABLE)
  list(PREPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/portable)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
  set(OPENSSL_USE_STATIC_LIBS ON)
  # An extension module shares libgcc with its process: a thread that ends is unwound through frames of both.
  add_link_options(-static-libstdc++ $<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY>>:-static-libgcc>
                   -Wl,--gc-sections -Wl,--as-needed)
endif()

# What each of our targets is compiled with; PRIVATE, so that users of the libraries do not inherit it.
add_library(hyperpod_build INTERFACE)
target_compile_features(hyperpod_build INTERFACE cxx_std_20)
target_compile_options(hyperpod_build INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                                -Wold-style-cast -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(hyperpod_build INTERFACE -Wno-restrict)  # GCC bug 105329: std::string's operator+
endif()
if(HYPERPOD_ASSERTIONS)
  target_compile_definitions(hyperpod_build INTERFACE HYPERPOD_ASSERTIONS)
endif()
if(HYPERPOD_WERROR)
  target_compile_options(hyperpod_build INTERFACE -Werror)
endif()
if(HYPERPOD_SANITIZE)
  target_compile_options(hyperpod_build INTERFACE -fsanitize=${HYPERPOD_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(hyperpod_build INTERFACE -fsanitize=${HYPERPOD_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(hyperpod_build INTERFACE -Wno-maybe-uninitialized)  # false alarms when sanitizing
  endif()
  if(HYPERPOD_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC warns that ThreadSanitizer does not follow the fences in Asio's headers.
    target_compile_options(hyperpod_build INTERFACE -Wno-tsan)
  endif()
endif()
if(HYPERPOD_FUZZ)
  # Clang 14 cannot assemble what its check of function types makes of coroutines.
  target_compile_options(hyperpod_build INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function)
  target_link_options(hyperpod_build INTERFACE -fsanitize=address,undefined)
endif()

if(HYPERPOD_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # Below 1 GiB none of the time goes into collecting garbage, which took a tenth; the largest file takes 1.6 GB, not 1.4.
  target_compile_options(hyperpod_build INTERFACE --param=ggc-min-heapsize=1048576)
endif()

# hyperpod_for_shared_objects(LIBRARY): may be linked into shared objects, as the Python package's module and users' own.
function(hyperpod_for_shared_objects library)
  set_target_properties(${library} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${library} PRIVATE -fno-semantic-interposition)  # else position independence costs inlining
endfunction()

# For code of tests: half the time of compiling it, and more under the sanitizers, is the optimizer's.
add_library(hyperpod_unoptimized INTERFACE)
target_compile_options(hyperpod_unoptimized INTERFACE -O0)

# hyperpod_test(NAME SOURCES a.cc... LIBS lib...): a GoogleTest program whose cases ctest runs one by one,
# each bounded by a minute.
function(hyperpod_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  if(NOT HYPERPOD_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE hyperpod_build hyperpod_unoptimized ${ARG_LIBS} GTest::gmock_main)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(${name} PROPERTIES TIMEOUT 120 DISCOVERY_TIMEOUT 60)
endfunction()

# hyperpod_fuzz(NAME SOURCES a.cc... LIBS lib...): a libFuzzer target; its seeds are fixtures/fuzz/NAME.
function(hyperpod_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  if(NOT HYPERPOD_FUZZ)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE hyperpod_build hyperpod_base ${ARG_LIBS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/include)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  if(NOT TARGET fuzz_targets)
    add_custom_target(fuzz_targets)
  endif()
  add_dependencies(fuzz_targets ${name})
endfunction()

# hyperpod_optimize_less(TARGET): for what does not move bytes.
function(hyperpod_optimize_less target)
  target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # more false alarms the less is optimized
endfunction()

# hyperpod_precompiled(SET [OPTIMIZED_LESS] HEADERS file... LIBS lib...): precompiles files of this folder, in this order.
function(hyperpod_precompiled set)
  cmake_parse_arguments(ARG "OPTIMIZED_LESS" "" "HEADERS;LIBS" ${ARGN})
  set(empty ${CMAKE_CURRENT_BINARY_DIR}/precompiled.cc)
  file(CONFIGURE OUTPUT ${empty} CONTENT "")
  add_library(hyperpod_precompiled_${set} OBJECT ${empty})
  target_link_libraries(hyperpod_precompiled_${set} PRIVATE hyperpod_build tl::expected nlohmann_json::nlohmann_json
                                                            ${ARG_LIBS})
  list(TRANSFORM ARG_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/cmake/)
  target_precompile_headers(hyperpod_precompiled_${set} PRIVATE ${ARG_HEADERS})
  if(ARG_OPTIMIZED_LESS)
    hyperpod_optimize_less(hyperpod_precompiled_${set})
  endif()
endfunction()

# hyperpod_build_faster(HOT target...): called once all targets of the project are there. Makes a build cost less:
# - Of the targets named all code is compiled as the build type says, because it moves bytes or measures. The rest
#   (suite, doctor, command lines, admin port, configuration) is compiled with -O1: optimizing it took more time than
#   parsing it, for code that waits for the network.
# - With HYPERPOD_PRECOMPILE four sets of library headers are precompiled: for the tests, for the libraries that link Asio
#   and OpenSSL (the targets named, and the others), and for all else. No header of ours is among them, so no edit makes
#   everything build again. Files must include what they use all the same: clang-tidy, the fuzz targets and every build by
#   clang go without. Precompiled headers keep the options that they were compiled with, and fmt's headers, by a pragma of
#   theirs, put those in force again: so no target takes a set of another level, and one without a set of its own takes none.
# - With HYPERPOD_UNITY twelve files of a target are compiled as one. clang-tidy sees each file by itself.
function(hyperpod_build_faster)
  cmake_parse_arguments(ARG "" "" "HOT" ${ARGN})
  set(precompile OFF)
  if(HYPERPOD_PRECOMPILE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    set(precompile ON)
    hyperpod_precompiled(code OPTIMIZED_LESS HEADERS precompiled_code.h)
    foreach(set IN ITEMS network "network_less;OPTIMIZED_LESS")
      hyperpod_precompiled(${set} HEADERS precompiled_code.h precompiled_network.h LIBS Boost::headers OpenSSL::SSL)
    endforeach()
    hyperpod_for_shared_objects(hyperpod_precompiled_network)
    hyperpod_for_shared_objects(hyperpod_precompiled_network_less)
    if(HYPERPOD_TESTS)
      hyperpod_precompiled(tests HEADERS precompiled_code.h precompiled_tests.h LIBS hyperpod_unoptimized GTest::gmock)
    endif()
  endif()

  set(directories ${PROJECT_SOURCE_DIR})
  while(directories)
    list(POP_FRONT directories directory)
    get_property(below DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
    list(APPEND directories ${below})
    get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      get_target_property(libraries ${target} LINK_LIBRARIES)
      if(NOT type MATCHES "^(EXECUTABLE|(STATIC|OBJECT|MODULE|SHARED)_LIBRARY)$" OR NOT libraries MATCHES hyperpod_build
         OR target MATCHES "^hyperpod_precompiled" OR target MATCHES _fuzz$)
        continue()
      endif()
      if(libraries MATCHES hyperpod_unoptimized)
        set(set "")  # for what is no test itself: it is compiled without GoogleTest's definitions
        if(libraries MATCHES GTest::)
          set(set tests)
        endif()
      else()
        get_target_property(for_shared_objects ${target} POSITION_INDEPENDENT_CODE)
        set(uses_network OFF)
        if(for_shared_objects AND libraries MATCHES "Boost::headers.*OpenSSL::SSL")
          set(uses_network ON)
        endif()
        set(set "")
        if(target IN_LIST ARG_HOT)
          if(uses_network)
            set(set network)
          endif()
        else()
          hyperpod_optimize_less(${target})
          if(uses_network)
            set(set network_less)
          elseif(NOT for_shared_objects)  # the compiler takes headers that were precompiled with the same flags alone
            set(set code)
          endif()
        endif()
      endif()
      if(HYPERPOD_UNITY)
        set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
        if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
          # It takes a file that another includes for a header.
          target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
        endif()
      endif()
      if(HYPERPOD_PORTABLE AND type MATCHES "EXECUTABLE|MODULE")
        target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/portable/old_glibc.cc)
      endif()
      if(precompile AND set AND NOT type MATCHES "MODULE|SHARED")  # which are compiled with other flags
        target_precompile_headers(${target} REUSE_FROM hyperpod_precompiled_${set})
      endif()
    endforeach()
  endwhile()
endfunction()
