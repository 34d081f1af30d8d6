// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/base/unique_name.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <random>

namespace hyperpod::base {

std::string unique_name(std::string_view prefix) {
  std::array<unsigned char, 8> bytes{};
  ssize_t got = 0;
  do {
    got = ::getrandom(bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(bytes.size())) {  // a sandbox without the call
    std::random_device device;
    for (auto& byte : bytes) byte = static_cast<unsigned char>(device());
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string name(prefix);
  for (const unsigned char byte : bytes) {
    name += digits[byte >> 4];
    name += digits[byte & 15];
  }
  return name;
}

}  // namespace hyperpod::base
