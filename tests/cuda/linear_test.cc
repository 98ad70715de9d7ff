#include "ops/linear.h"

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t block_rows = 128;
  std::int64_t block_cols = 128;
};

// No and one token, one past a tile of tokens and of rows, odd sizes that take the plain path, the
// model's widths, scale blocks of other sizes, columns that two blocks share, more tiles of rows
// than blocks, rows of several scales in a block, columns that fill shared memory.
constexpr Case kCases[] = {
    {0, 16, 128},        {1, 1, 1},
    {1, 16, 64},         {1, 17, 128},
    {1, 13, 200},        {1, 256, 3072},
    {2, 300, 1536},      {3, 5, 65},
    {7, 40, 512},        {8, 128, 6144},
    {9, 130, 256},       {17, 48, 192},
    {33, 72, 320},       {64, 256, 1024},
    {65, 257, 640},      {200, 130, 3072},
    {1, 40, 6144},       {3, 72, 1024},
    {20, 33, 2048},      {5, 96, 384, 16, 64},
    {5, 96, 384, 7, 64}, {70, 96, 384, 48, 192},
    {130, 33, 90, 7, 1}, {40, 130, 6144},
    {10, 70, 5120},      {12, 8460, 512},
    {1, 8460, 512},      {2, 1300, 768},
    {4, 3000, 6144},     {3, 40, 12288},
    {2, 130, 6144},      {6, 3000, 4224},
    {3, 8460, 3072},     {8, 130, 1024},
};

struct Expected {
  std::vector<double> values;
  std::vector<double> tolerance;
};

// An activation is held to 2^-12 of itself (f16, three e4m3; 2^-25 of the largest of its row at the
// least) or 2^-17 of itself (two bf16); sums pass through the accumulators of the matrix unit,
// which drop what is below their last bit, once every 16 columns.
Expected expected_product(const Tensor& input, const WeightView& weight, const Tensor& initial,
                          bool accumulate) {
  const auto weights = test::decode(weight);
  Expected result;
  for (std::int64_t t = 0; t < input.shape()[0]; ++t) {
    const float* x = input.as<float>() + t * weight.cols;
    double largest = 0.0;
    for (std::int64_t k = 0; k < weight.cols; ++k) largest = std::fmax(largest, std::fabs(x[k]));
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      double sum = accumulate ? double{initial.as<float>()[t * weight.rows + n]} : 0.0;
      double magnitude = std::fabs(sum);
      double products = 0.0;
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        const double w = weights[static_cast<std::size_t>(n * weight.cols + k)];
        sum += double{x[k]} * w;
        magnitude += largest * std::fabs(w);
        products += std::fabs(double{x[k]} * w);
      }
      const double roundings = static_cast<double>(weight.cols) / 64.0 + 16.0;
      double tolerance = roundings * 0x1p-24 * magnitude;
      if (weight.dtype == DType::kBF16) tolerance += 0x1p-16 * products;
      if (weight.dtype == DType::kF16 || weight.dtype == DType::kF8E4M3) {
        tolerance += 0x1p-12 * products;
      }
      result.values.push_back(sum);
      result.tolerance.push_back(tolerance);
    }
  }
  return result;
}

class CudaLinear : public test::DeviceTest {};

TEST_F(CudaLinear, MatchesFloat64) {
  unsigned seed = 1;
  for (const Case& c : kCases) {
    for (const DType dtype : test::kWeightTypes) {
      for (const bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", "
                                        << c.cols << "] " << dtype_name(dtype));
        Random random(++seed);
        const StoredWeight weight(dtype, c.rows, c.cols, random, c.block_rows, c.block_cols);
        const Tensor input = random.tensor({c.num_tokens, c.cols});
        const Tensor initial = random.tensor({c.num_tokens, c.rows});
        const Tensor output = to_device(initial.view());
        backend_->linear({.input = to_device(input.view()).view(),
                          .weight = place(weight.view()),
                          .output = output.view(),
                          .accumulate = accumulate});
        const auto expected = expected_product(input, weight.view(), initial, accumulate);
        test::expect_close(test::floats(to_host(output)), expected.values, expected.tolerance);
      }
    }
  }
}

// Matrices of very many rows, whose tiles the blocks claim.
TEST_F(CudaLinear, HeadsMatchFloat64) {
  Random random(12);
  const StoredWeight weight(DType::kBF16, 8464, 3072, random);
  const WeightView placed = place(weight.view());
  for (const std::int64_t num_tokens : {5, 8}) {
    SCOPED_TRACE(testing::Message() << num_tokens << " tokens");
    const bool accumulate = num_tokens == 5;
    const Tensor input = random.tensor({num_tokens, placed.cols});
    const Tensor initial = random.tensor({num_tokens, placed.rows});
    const Tensor output = to_device(initial.view());
    const auto expected = expected_product(input, weight.view(), initial, accumulate);
    for (int run = 0; run < 3; ++run) {  // counters are left as they were
      backend_->upload(initial.view(), output.view());
      backend_->linear({.input = to_device(input.view()).view(),
                        .weight = placed,
                        .output = output.view(),
                        .accumulate = accumulate});
      test::expect_close(test::floats(to_host(output)), expected.values, expected.tolerance);
    }
  }
}

// Together they give the bits that they give alone, whether or not they fit one launch.
TEST_F(CudaLinear, SeveralWeightsAtOnce) {
  for (const DType last : {DType::kF8E4M3, DType::kBF16}) {
    for (const std::int64_t num_tokens : {0, 1, 5, 40}) {
      Random random(11);
      const StoredWeight weights[] = {StoredWeight(DType::kF8E4M3, 96, 512, random),
                                      StoredWeight(DType::kF8E4M3, 33, 512, random),
                                      StoredWeight(last, 16, 512, random)};
      const Tensor input = to_device(random.tensor({num_tokens, 512}).view());
      std::vector<Tensor> together;
      std::vector<Tensor> alone;
      std::vector<LinearArgs> products;
      for (const StoredWeight& weight : weights) {
        const WeightView placed = place(weight.view());
        together.push_back(backend_->allocate(DType::kF32, {num_tokens, placed.rows}));
        alone.push_back(backend_->allocate(DType::kF32, {num_tokens, placed.rows}));
        products.push_back({input.view(), placed, together.back().view()});
        backend_->linear({input.view(), placed, alone.back().view()});
      }
      backend_->linears(products);
      for (std::size_t i = 0; i < products.size(); ++i) {
        const Tensor got = to_host(together[i]);
        const Tensor expected = to_host(alone[i]);
        test::expect_same_bits(test::floats(got), test::floats(expected));
      }
    }
  }
}

// A unit vector picks one element of every row; every path.
TEST_F(CudaLinear, EveryE4m3CodeIsExact) {
  struct Size {
    std::int64_t num_tokens;
    std::int64_t cols;
  };
  for (const Size& size : {Size{9, 150}, {9, 512}, {1, 512}, {2, 512}}) {
    const std::int64_t cols = size.cols;
    Random random(7);
    StoredWeight weight(DType::kF8E4M3, 256, cols, random);
    for (std::int64_t row = 0; row < 256; ++row) {
      std::memset(weight.bytes() + row * cols, static_cast<int>(row),
                  static_cast<std::size_t>(cols));
    }
    const std::vector<float> ones(8, 1.0F);
    WeightView view = weight.view();
    view.scale = ones.data();
    const Tensor input(DType::kF32, {size.num_tokens, cols});
    for (std::int64_t t = 0; t < size.num_tokens; ++t) {
      input.as<float>()[t * cols + (t * 37 + 149) % cols] = 1.0F;
    }
    const Tensor output = backend_->allocate(DType::kF32, {size.num_tokens, 256});
    backend_->linear(
        {.input = to_device(input.view()).view(), .weight = place(view), .output = output.view()});
    const Tensor got = to_host(output);
    for (std::int64_t i = 0; i < size.num_tokens * 256; ++i) {
      const float expected = to_float(f8e4m3{static_cast<std::uint8_t>(i % 256)});
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(got.as<float>()[i])) << "code " << i % 256;
      } else {
        EXPECT_EQ(got.as<float>()[i], expected) << "code " << i % 256;
      }
    }
  }
}

// Activations of any size, alone in their row: the scale must neither overflow nor lose them.
TEST_F(CudaLinear, KeepsTheRangeOfActivations) {
  for (const DType dtype : {DType::kF8E4M3, DType::kF16, DType::kBF16}) {
    Random random(8);
    const StoredWeight weight(dtype, 32, 128, random);
    const auto weights = test::decode(weight.view());
    for (const float x : {1e-30F, 3e-5F, 7.0F, 70000.0F, 1e30F}) {
      const Tensor input(DType::kF32, {1, 128});
      input.as<float>()[77] = x;
      const Tensor output = backend_->allocate(DType::kF32, {1, 32});
      backend_->linear({.input = to_device(input.view()).view(),
                        .weight = place(weight.view()),
                        .output = output.view()});
      const Tensor got = to_host(output);
      for (std::int64_t row = 0; row < 32; ++row) {
        const double expected = double{x} * weights[static_cast<std::size_t>(row * 128 + 77)];
        EXPECT_NEAR(got.as<float>()[row], expected, std::fabs(expected) * 0x1p-11)
            << dtype_name(dtype) << " " << x;
      }
    }
  }
}

TEST_F(CudaLinear, InfiniteActivationsShow) {
  for (const std::int64_t num_tokens : {1, 2, 3, 8}) {
    Random random(10);
    const StoredWeight weight(DType::kF8E4M3, 40, 1024, random);
    const Tensor input = random.tensor({num_tokens, 1024});
    input.as<float>()[700] = std::numeric_limits<float>::infinity();
    const Tensor output = backend_->allocate(DType::kF32, {num_tokens, 40});
    backend_->linear({.input = to_device(input.view()).view(),
                      .weight = place(weight.view()),
                      .output = output.view()});
    const Tensor got = to_host(output);
    for (std::int64_t i = 0; i < num_tokens * 40; ++i) {
      EXPECT_EQ(std::isfinite(got.as<float>()[i]), i >= 40) << "number " << i;
    }
  }
}

TEST_F(CudaLinear, NanSpoilsItsRowOnly) {
  for (const std::int64_t num_tokens : {1, 3, 70}) {
    Random random(9);
    StoredWeight weight(DType::kF8E4M3, 40, 1536, random);
    weight.bytes()[5 * 1536 + 700] = 0xFF;
    const Tensor input = random.tensor({num_tokens, 1536});
    const Tensor output = backend_->allocate(DType::kF32, {num_tokens, 40});
    backend_->linear({.input = to_device(input.view()).view(),
                      .weight = place(weight.view()),
                      .output = output.view()});
    const Tensor got = to_host(output);
    for (std::int64_t i = 0; i < num_tokens * 40; ++i) {
      EXPECT_EQ(std::isnan(got.as<float>()[i]), i % 40 == 5) << "row " << i % 40;
    }
  }
}

}  // namespace
}  // namespace m2
