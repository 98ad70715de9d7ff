#include "base/byte_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "m2/error.h"

namespace m2 {
namespace {

TEST(ByteSize, ReadsDecimalUnits) {
  EXPECT_EQ(parse_byte_size("50GB", "size"), 50'000'000'000);
  EXPECT_EQ(parse_byte_size("1.5MB", "size"), 1'500'000);
  EXPECT_EQ(parse_byte_size("30KB", "size"), 30'000);
  EXPECT_EQ(parse_byte_size("2TB", "size"), 2'000'000'000'000);
  EXPECT_EQ(parse_byte_size("123", "size"), 123);
}

TEST(ByteSize, RefusesOtherTexts) {
  for (const char* text : {"", "GB", "-1GB", "0", "1GiB", "1 GB", "nan", "1e30"}) {
    try {
      (void)parse_byte_size(text, "max_shard_size");
      ADD_FAILURE() << "accepted \"" << text << "\"";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << text;
      EXPECT_THAT(error.what(), ::testing::StartsWith("max_shard_size: ")) << text;
    }
  }
}

}  // namespace
}  // namespace m2
