#include "base/error.h"

#include <gtest/gtest.h>

namespace m2 {
namespace {

TEST(Error, CarriesCodeAndMessage) {
  try {
    const int got = 3;
    M2_REQUIRE(ErrorCode::kCorruptFile, got == 4, "file: expected ", 4, ", got ", got);
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_STREQ(error.what(), "file: expected 4, got 3");
    EXPECT_STREQ(error_code_name(error.code()), "corrupt_file");
  }
}

TEST(Error, FailedCheckNamesTheCondition) {
  try {
    M2_CHECK(1 == 2);
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("1 == 2"), std::string::npos);
  }
}

}  // namespace
}  // namespace m2
