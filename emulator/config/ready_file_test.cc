// SPDX-License-Identifier: Apache-2.0
#include "config/ready_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "hyperpod/base/unique_name.h"

namespace hyperpod::emulator::config {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ReadyFileTest : public testing::Test {
 public:
  ~ReadyFileTest() override { fs::remove_all(directory_); }

 protected:
  ReadyFileTest() { fs::create_directories(directory_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static std::string line(const std::string& url) {
    return std::string(ready_line_begin) + "\"url\":\"" + url + "\"}\n";
  }

  std::string directory_ = base::unique_name(testing::TempDir() + "ready_file_test.");
  std::string path_ = directory_ + "/ready";
};

TEST_F(ReadyFileTest, HoldsItsContentAsLongAsItLivesAndNothingElseIsLeft) {
  {
    auto file = ReadyFile::prepare(path_);
    ASSERT_TRUE(file);
    EXPECT_FALSE(fs::exists(path_));
    ASSERT_TRUE(file->write("{}\n"));
    EXPECT_EQ(content(), "{}\n");
    EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
  }
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(ReadyFileTest, OfAFormerRunIsRemoved) {
  for (const std::string& left : {line("old"), std::string()}) {
    std::ofstream(path_) << left;
    const auto file = ReadyFile::prepare(path_);
    ASSERT_TRUE(file);
    EXPECT_FALSE(fs::exists(path_)) << left;
  }
}

TEST_F(ReadyFileTest, OfAProcessThatLivesStaysUntilItsSuccessorServes) {
  auto file = ReadyFile::prepare(path_);
  ASSERT_TRUE(file && file->write(line("first")));
  { EXPECT_TRUE(ReadyFile::prepare(path_)) << "a start that fails later"; }
  EXPECT_EQ(content(), line("first"));
  auto successor = ReadyFile::prepare(path_);
  ASSERT_TRUE(successor && successor->write(line("second")));
  file->remove();
  EXPECT_EQ(content(), line("second"));
}

TEST_F(ReadyFileTest, TakesTheNameOfNoOtherFile) {
  for (const char* other : {"precious", R"({"event":"read)", R"({"event":"reading","url":1})"}) {
    std::ofstream(path_) << other;
    const auto refused = ReadyFile::prepare(path_);
    ASSERT_FALSE(refused) << other;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_option);
    EXPECT_THAT(refused.error().message, HasSubstr("is not a ready file"));
    EXPECT_EQ(content(), other);
  }
}

TEST_F(ReadyFileTest, TakesTheNameOfNothingButARegularFile) {
  std::ofstream(directory_ + "/victim") << "precious";
  fs::create_symlink(directory_ + "/victim", path_);
  const auto refused = ReadyFile::prepare(path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_option);
  EXPECT_THAT(refused.error().message, HasSubstr("is not a regular file"));
  EXPECT_TRUE(fs::is_symlink(path_));
  const std::string pipe = directory_ + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(ReadyFile::prepare(pipe));
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(ReadyFileTest, IsNotWrittenThroughALinkThatAppearsMeanwhile) {
  auto file = ReadyFile::prepare(path_);
  ASSERT_TRUE(file);
  std::ofstream(directory_ + "/victim") << "precious";
  fs::create_symlink(directory_ + "/victim", path_);
  ASSERT_TRUE(file->write("{}"));
  EXPECT_FALSE(fs::is_symlink(path_));
  EXPECT_EQ(fs::file_size(directory_ + "/victim"), 8u);
}

TEST_F(ReadyFileTest, ThatCannotBeWrittenIsNamed) {
  auto file = ReadyFile::prepare(directory_ + "/no/such");
  ASSERT_TRUE(file);
  const auto written = file->write("x");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr(directory_ + "/no/such: No such file"));
}

TEST_F(ReadyFileTest, WithoutAPathIsNone) {
  auto file = ReadyFile::prepare("");
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->write("x"));
}

}  // namespace
}  // namespace hyperpod::emulator::config
