#include "ops/placed_format.h"

#include <gtest/gtest.h>

namespace m2 {
namespace {

using enum BlockFormat;

struct Case {
  BlockFormat stored;
  std::int64_t rows;
  std::int64_t cols;
  BlockFormat product;
  BlockFormat expert;
};

// Dense matrices in 8 bits and experts in 4, of whole units; nothing else.
constexpr Case kCases[] = {
    {kNone, 16, 128, kNone, kNone},         {kInt8G32, 16, 128, kInt8G32, kNone},
    {kInt8G32, 3, 256, kInt8G32, kNone},    {kInt8G32, 16, 96, kNone, kNone},
    {kQ8_0, 16, 128, kInt8G32, kNone},      {kInt4G32, 16, 128, kNone, kInt4G32},
    {kInt4G128, 48, 384, kNone, kInt4G128}, {kInt4G32, 24, 128, kNone, kNone},
    {kInt4G32, 16, 160, kNone, kNone},      {kQ4_0, 32, 256, kNone, kInt4G32},
    {kQ4_K, 16, 256, kNone, kNone},         {kQ6_K, 16, 256, kNone, kNone}};

TEST(PlacedFormat, DependsOnTheUse) {
  for (const Case& c : kCases) {
    const WeightView host = {.rows = c.rows, .cols = c.cols, .block_format = c.stored};
    SCOPED_TRACE(testing::Message()
                 << block_format_name(c.stored) << " [" << c.rows << ", " << c.cols << "]");
    EXPECT_EQ(placed_format(host, MatrixUse::kProduct), c.product);
    EXPECT_EQ(placed_format(host, MatrixUse::kExpert), c.expert);
  }
}

}  // namespace
}  // namespace m2
