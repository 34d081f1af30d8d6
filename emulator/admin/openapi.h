// The OpenAPI description of the admin port, made from its routes.
//
// Any thread.
#pragma once

#include <string>

namespace hyperpod::emulator {

std::string openapi_document();

}  // namespace hyperpod::emulator
