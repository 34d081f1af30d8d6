// SPDX-License-Identifier: Apache-2.0
// Command lines, where CLI11 reads them otherwise than whoever wrote them meant.
#pragma once

#include <string>
#include <vector>

namespace hyperpod::base {

/// The arguments of a program, with `--name=` as `--name` and an empty argument behind it: CLI11
/// takes whatever follows for the value. Behind a `--` all are as they were.
class Arguments {
 public:
  /// `values` are those of main(), and must stay.
  Arguments(int count, const char* const* values);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  int count() const { return static_cast<int>(values_.size()); }
  const char* const* values() const { return values_.data(); }

 private:
  std::vector<std::string> names_;
  std::vector<const char*> values_;
};

/// Takes the zeros off the front of a whole number, which CLI11 takes for octal. What is wrong with
/// the text if it is not decimal digits, "'0x10' is not a whole number"; empty if nothing is.
std::string to_decimal(std::string& text);

/// Empty if `text` is a number from `least` to `most`, else what is wrong with it. For a check of
/// CLI11's; its own ranges let pass "nan".
std::string number_problem(const std::string& text, double least, double most);

}  // namespace hyperpod::base
