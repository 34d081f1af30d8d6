// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/call.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

namespace hyperpod::client {
namespace {

using Function = MoveOnlyFunction<void(std::unique_ptr<std::string>)>;

// Counts how many of it there are that have not been moved from, and appends what it is called
// with.
template <std::size_t bytes>
class Callable {
 public:
  Callable(int& alive, std::string& heard) : alive_(&alive), heard_(heard) { ++alive; }
  Callable(Callable&& other) noexcept
      : alive_(std::exchange(other.alive_, nullptr)), heard_(other.heard_) {}
  Callable& operator=(Callable&&) = delete;
  ~Callable() {
    if (alive_ != nullptr) --*alive_;
  }
  void operator()(std::unique_ptr<std::string> text) { heard_ += *text; }

 private:
  int* alive_;
  std::string& heard_;
  std::array<std::byte, bytes> more_{};
};

template <class T>
class MoveOnlyFunctionTest : public ::testing::Test {};
using HeldInPlaceAndAllocated = ::testing::Types<Callable<1>, Callable<200>>;
TYPED_TEST_SUITE(MoveOnlyFunctionTest, HeldInPlaceAndAllocated);

TYPED_TEST(MoveOnlyFunctionTest, IsMovedCalledAndEndedOnce) {
  int alive = 0;
  std::string heard;
  {
    Function function = TypeParam(alive, heard);
    function(std::make_unique<std::string>("a"));
    Function moved = std::move(function);
    EXPECT_FALSE(function);  // NOLINT(bugprone-use-after-move): that is what is promised
    moved(std::make_unique<std::string>("b"));
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(heard, "ab");
  EXPECT_EQ(alive, 0);
}

TYPED_TEST(MoveOnlyFunctionTest, EndsWhatItIsAssignedOver) {
  int alive = 0;
  std::string heard;
  Function function = TypeParam(alive, heard);
  function = TypeParam(alive, heard);
  EXPECT_EQ(alive, 1);
  function = {};
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(function);
}

TYPED_TEST(MoveOnlyFunctionTest, SurvivesAssignmentToItself) {
  int alive = 0;
  std::string heard;
  Function function = TypeParam(alive, heard);
  Function& same = function;
  function = std::move(same);
  function(std::make_unique<std::string>("a"));
  EXPECT_EQ(heard, "a");
}

TEST(MoveOnlyFunction, HoldsAnAlignedCallableWhereItIsAligned) {
  struct alignas(64) Aligned {
    void operator()(std::uintptr_t& address) const {
      address = reinterpret_cast<std::uintptr_t>(this);
    }
  };
  MoveOnlyFunction<void(std::uintptr_t&)> function = Aligned{};
  std::uintptr_t address = 1;
  function(address);
  EXPECT_EQ(address % 64, 0u);
}

}  // namespace
}  // namespace hyperpod::client
