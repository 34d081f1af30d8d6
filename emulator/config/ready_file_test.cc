// SPDX-License-Identifier: Apache-2.0
#include "config/ready_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace hyperpod::emulator::config {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ReadyFile : public testing::Test {
 public:
  ~ReadyFile() override { fs::remove_all(directory_); }

 protected:
  ReadyFile() { fs::create_directories(directory_); }

  std::string directory_ = fmt::format("{}ready_file_test.{}", testing::TempDir(), getpid());
  std::string path_ = directory_ + "/ready";
};

TEST_F(ReadyFile, HoldsItsContentAndNothingElseIsLeft) {
  ASSERT_TRUE(write_ready_file(path_, "{}\n"));
  std::ifstream file(path_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "{}\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
}

TEST_F(ReadyFile, OfAFormerRunIsRemoved) {
  ASSERT_TRUE(write_ready_file(path_, "old"));
  ASSERT_TRUE(clear_ready_file(path_));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(clear_ready_file(path_));
}

TEST_F(ReadyFile, TakesTheNameOfNothingButARegularFile) {
  fs::create_symlink(directory_, path_);
  const auto cleared = clear_ready_file(path_);
  ASSERT_FALSE(cleared);
  EXPECT_THAT(cleared.error().message, HasSubstr("not a regular file"));
  EXPECT_TRUE(fs::is_symlink(path_));
  const std::string pipe = directory_ + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(clear_ready_file(pipe));
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(ReadyFile, ThatCannotBeWrittenIsNamed) {
  const auto written = write_ready_file(directory_ + "/no/such", "x");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr(directory_ + "/no/such: No such file"));
}

}  // namespace
}  // namespace hyperpod::emulator::config
