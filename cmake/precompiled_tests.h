// SPDX-License-Identifier: Apache-2.0
// What tests include besides.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
