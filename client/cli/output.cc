// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "commands.h"
#include "exit_code.h"

namespace hyperpod::client::cli {
namespace {

int output_error = 0;  // the first errno value; nothing is written after it

}  // namespace

void print(std::string_view text) {
  if (output_error != 0) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_error = errno;
}

int end_output(int code) {
  if (output_error == 0 && std::fflush(stdout) != 0) output_error = errno;
  if (output_error == 0) return code;
  complain(std::string("cannot write to standard output: ") + std::strerror(output_error));
  return std::max(code, exit_usage);
}

}  // namespace hyperpod::client::cli
