// SPDX-License-Identifier: Apache-2.0
#include "limits_in_force.h"

#include <sys/resource.h>

namespace hyperpod::client::cli {
namespace {

std::string text_of(__rlimit_resource_t resource, rlim_t unit) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return std::to_string(limit.rlim_cur / unit);
}

}  // namespace

std::string limit_in_force(Resource resource) {
  constexpr rlim_t kibibyte = 1024;
  switch (resource) {
    case Resource::memory:
      return "raise `ulimit -v`, which is " + text_of(RLIMIT_AS, kibibyte) +
             ", or the container's memory limit";
    case Resource::threads:
      return "raise `ulimit -u`, which is " + text_of(RLIMIT_NPROC, 1) +
             ", or the container's pids limit";
    case Resource::descriptors:
      break;
  }
  return "raise `ulimit -n`, which is " + text_of(RLIMIT_NOFILE, 1);
}

std::string limits_in_force() {
  return limit_in_force(Resource::descriptors) + "; " + limit_in_force(Resource::threads) + "; " +
         limit_in_force(Resource::memory);
}

}  // namespace hyperpod::client::cli
