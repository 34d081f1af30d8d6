// SPDX-License-Identifier: Apache-2.0
// The OpenAPI description of the admin port, made from its routes.
//
// Any thread.
#pragma once

#include <string>

namespace hyperpod::emulator::admin {

std::string openapi_document();

}  // namespace hyperpod::emulator::admin
