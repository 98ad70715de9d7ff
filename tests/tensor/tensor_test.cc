#include "m2/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <type_traits>

#include "m2/error.h"

namespace m2 {
namespace {

TEST(Shape, CountsAndPrints) {
  const Shape shape{2, 0, 3};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.num_elements(), 0);
  EXPECT_EQ(shape.to_string(), "[2, 0, 3]");
  EXPECT_EQ(Shape().num_elements(), 1);
  EXPECT_EQ(Shape().to_string(), "[]");
  EXPECT_EQ((Shape{4, 5}), (Shape{4, 5}));
  EXPECT_NE((Shape{4, 5}), (Shape{5, 4}));
  EXPECT_NE((Shape{4}), (Shape{4, 1}));
}

TEST(Shape, RefusesNegativeAndTooMany) {
  EXPECT_THROW(Shape({-1}), Error);
  EXPECT_THROW(Shape({1, 1, 1, 1, 1, 1, 1}), Error);
}

TEST(Tensor, IsZeroAndAligned) {
  for (const std::int64_t size : {0, 1, 5, 1000, 300000}) {
    const Tensor tensor(DType::kBF16, {size, 3});
    EXPECT_TRUE(tensor.view().present());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.view().data) % 64, 0U);
    EXPECT_EQ(tensor.view().num_bytes(), static_cast<std::size_t>(size) * 6);
    for (std::int64_t i = 0; i < size * 3; ++i) ASSERT_EQ(tensor.as<bf16>()[i].bits, 0);
  }
}

TEST(Tensor, TypeIsChecked) {
  const Tensor tensor(DType::kF32, {2});
  EXPECT_THROW((void)tensor.as<bf16>(), Error);
  EXPECT_NO_THROW((void)tensor.as<float>());
}

TEST(Tensor, TooLargeIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers abort on such sizes";
#endif
  try {
    const Tensor tensor(DType::kF32, {std::int64_t{1} << 60});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
}

TEST(TensorView, IsAPlainValue) {
  static_assert(std::is_trivially_copyable_v<TensorView>);
  EXPECT_FALSE(TensorView().present());
}

}  // namespace
}  // namespace m2
