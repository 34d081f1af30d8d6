// SPDX-License-Identifier: Apache-2.0
// The figures for people (a table on standard output) and for programs (JSON).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "error.h"
#include "rows/row.h"

namespace hyperpod::bench {

/// A whole number with commas between its thousands.
std::string grouped(double value);
/// A number with so many digits behind the point.
std::string fixed(double value, int digits);

void print_heading();
/// One row as soon as it is known. `bystanders` is the share of the machine (0..1) that others used
/// meanwhile.
void print_row(const Row& row, const Result<Finding>& finding, double bystanders);

/// The row's part of the JSON report; `verdict` is PASS, SHORT, NOT_MEASURED or FAILED.
nlohmann::json row_report(const Row& row, const Result<Finding>& finding, double bystanders);

}  // namespace hyperpod::bench
