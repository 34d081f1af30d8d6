# Build settings that every target of the project shares.

option(HYPERPOD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_BENCH "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
# Off where sanitizers distort the times that the suite judges by.
option(HYPERPOD_CONFORMANCE "Build the conformance suite" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(HYPERPOD_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
option(HYPERPOD_ASSERTIONS "Check what functions REQUIRE; for builds that are tested" OFF)
set(HYPERPOD_SANITIZE "" CACHE STRING "Value of -fsanitize= for every target, e.g. thread")

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

find_program(HYPERPOD_CCACHE ccache)
if(HYPERPOD_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HYPERPOD_CCACHE})
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
