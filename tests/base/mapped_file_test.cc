#include "base/mapped_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace m2 {
namespace {

TEST(MappedFile, ShowsTheBytesAndSurvivesMoves) {
  const auto path = std::filesystem::path(testing::TempDir()) / "mapped_file_test.bin";
  std::ofstream(path, std::ios::binary) << "abc";
  MappedFile first(path);
  MappedFile second = std::move(first);
  ASSERT_EQ(second.bytes().size(), 3U);
  EXPECT_EQ(second.bytes()[2], std::byte{'c'});
  std::filesystem::remove(path);
}

TEST(MappedFile, EmptyFileHasNoBytes) {
  const auto path = std::filesystem::path(testing::TempDir()) / "mapped_file_empty.bin";
  std::ofstream(path, std::ios::binary).flush();
  EXPECT_TRUE(MappedFile(path).bytes().empty());
  std::filesystem::remove(path);
}

TEST(MappedFile, NamesWhatIsMissingOrNoFile) {
  try {
    MappedFile file("no/such/file");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("no/such/file"), std::string::npos);
  }
  EXPECT_THROW(MappedFile(testing::TempDir()), Error);
}

}  // namespace
}  // namespace m2
