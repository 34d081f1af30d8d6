# SPDX-License-Identifier: Apache-2.0
# HYPERPOD_FETCH: where the system lacks a library, or has an older version than is known to work, its release is fetched
# while the build is configured, and checked. The releases are Debian 12's sources, from Debian's mirrors or its archive of
# what once was there; the checksums are those of Debian's signed index.
include(FetchContent)

# hyperpod_fetch(PACKAGE VERSION ARCHIVE SHA256 [TARGET HEADERS]): the archive is a path in Debian's pool. With TARGET the
# release is used for its headers alone, which lie in its folder HEADERS; else it is built as it wants to be, and its target
# is named as the package.
function(hyperpod_fetch package version archive sha256)
  find_package(${package} ${version} CONFIG QUIET)
  if(${package}_FOUND)
    return()
  endif()
  message(STATUS "${package} ${version} is not here: fetching ${archive}")
  set(source)
  if(ARGC GREATER 4)
    set(source SOURCE_SUBDIR none)  # of its own build nothing is used
  endif()
  FetchContent_Declare(${package}
    URL https://deb.debian.org/debian/pool/main/${archive}
        https://snapshot.debian.org/archive/debian/20230615T000000Z/pool/main/${archive}
    URL_HASH SHA256=${sha256}
    ${source} OVERRIDE_FIND_PACKAGE)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  set(CMAKE_POLICY_VERSION_MINIMUM 3.5)  # for a newer CMake than theirs
  set(CMAKE_WARN_DEPRECATED OFF)
  FetchContent_MakeAvailable(${package})
  if(ARGC GREATER 4)
    string(TOLOWER ${package} lower)
    add_library(${ARGV4} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${ARGV4} SYSTEM INTERFACE ${${lower}_SOURCE_DIR}/${ARGV5})
  else()
    set_target_properties(${package} PROPERTIES SYSTEM ON)  # its headers are not held to our warnings
  endif()
endfunction()

set(FMT_INSTALL OFF)
set(SPDLOG_FMT_EXTERNAL ON CACHE BOOL "Not the copy of fmt that spdlog has")
set(YAML_CPP_BUILD_TOOLS OFF CACHE BOOL "Not needed")
set(YAML_CPP_INSTALL OFF CACHE BOOL "Not needed")
hyperpod_fetch(Boost 1.81 b/boost1.81/boost1.81_1.81.0.orig.tar.xz
               449afecf5ef98edc0a46826cde6af98d1fb95c2e92962fa8c9e3eb1e8a2928ec Boost::headers .)
hyperpod_fetch(nlohmann_json 3.11 n/nlohmann-json3/nlohmann-json3_3.11.2.orig.tar.gz
               d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273 nlohmann_json::nlohmann_json include)
hyperpod_fetch(RapidJSON 1.1 r/rapidjson/rapidjson_1.1.0+dfsg2.orig.tar.gz
               92aa6402743012e5f2c3db17def1ff5273df4f3ca7a8f8ed9f1041d392c14ce7 RapidJSON::headers include)
hyperpod_fetch(tl-expected 1.0 t/tl-expected/tl-expected_1.0.0~dfsg.orig.tar.xz
               643b32aea2e13650abd7b187f9623302efaa089d6058ebf8ebcb1996024bcc65 tl::expected include)
hyperpod_fetch(CLI11 2.1 c/cli11/cli11_2.1.2+ds.orig.tar.xz
               8143d20b688e98ccce8e24562d3b68e5f47c12e896c42c7ca8553dbde5bed55d CLI11::CLI11 include)
hyperpod_fetch(tomlplusplus 3.3 t/tomlplusplus/tomlplusplus_3.3.0+ds.orig.tar.xz
               a143f15016090d88d72e018632efa43b1124bb62285d8c72d51d0cdb45ad787b tomlplusplus::tomlplusplus include)
hyperpod_fetch(fmt 9.1 f/fmtlib/fmtlib_9.1.0+ds1.orig.tar.gz
               84ce1c2d0be3a9863935137969dcec6970125caac032f82474640bfc81463583)
hyperpod_fetch(spdlog 1.10 s/spdlog/spdlog_1.10.0+ds.orig.tar.xz
               620ca6842b5c21014470bd42eb4716024674214fb973b5ffa3aaea33310ad327)
hyperpod_fetch(yaml-cpp 0.7 y/yaml-cpp/yaml-cpp_0.7.0+dfsg.orig.tar.xz
               dc63708605404e0b963e0ca3a9619d1c8270eda2839603e6fa0384e5e51e5312)
