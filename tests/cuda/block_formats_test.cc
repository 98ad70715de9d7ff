// Dense weights in block formats: how they are placed, multiplied and looked up.
#include <algorithm>
#include <cmath>

#include "cuda/device_cases.h"
#include "model/place_weights.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

using test::Random;

// A random matrix in a block format.
class BlockMatrix {
 public:
  BlockMatrix(BlockFormat format, std::int64_t rows, std::int64_t cols, Random& random)
      : bytes_(DType::kU8, {block_matrix_bytes(format, rows, cols)}),
        view_({.data = bytes_.view().data,
               .dtype = DType::kU8,
               .rows = rows,
               .cols = cols,
               .block_format = format}) {
    const Tensor numbers = random.tensor({rows, cols});
    const float* from = numbers.as<float>();
    auto* to = static_cast<std::byte*>(bytes_.view().data);
    const std::int64_t step = is_strip_format(format) ? kStripRows : 1;
    for (std::int64_t row = 0; row < rows; row += step, from += step * cols) {
      if (step == 1) {
        encode_ggml_row(format, from, cols, to);
        to += ggml_layout(format).row_bytes(cols);
      } else {
        encode_strip(format, from, std::min(step, rows - row), cols, to);
        to += strip_layout(format, cols).strip_bytes();
      }
    }
  }
  [[nodiscard]] const WeightView& view() const { return view_; }

 private:
  Tensor bytes_;
  WeightView view_;
};

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t cols;
};

// The kernel of eight tokens with one, two and four units a warp, and with warps that have none;
// tiles of rows that end within a unit and within four; columns that two blocks share; a scratch
// matrix; a width that is cut into no units.
constexpr Case kCases[] = {{1, 16, 128},   {1, 100, 3072}, {8, 48, 6144},   {5, 33, 1536},
                           {3, 4400, 256}, {9, 130, 256},  {33, 72, 512},   {64, 200, 6144},
                           {40, 24, 3072}, {65, 257, 640}, {200, 96, 3072}, {2, 20, 96},
                           {17, 8500, 512}};

class CudaBlockFormats : public test::DeviceTest {
 protected:
  // Sums in float64, and what the roundings of weights and activations may change.
  void expect_product(const Case& c, BlockFormat format, unsigned seed) {
    Random random(seed);
    const BlockMatrix matrix(format, c.rows, c.cols, random);
    const Tensor input = random.tensor({c.num_tokens, c.cols});
    const Tensor initial = random.tensor({c.num_tokens, c.rows});
    const Tensor output = to_device(initial.view());
    const WeightView placed = place(matrix.view());
    const bool has_units = placed.block_format == BlockFormat::kInt8G32;
    EXPECT_EQ(has_units, c.cols % 128 == 0 &&
                             (format == BlockFormat::kInt8G32 || format == BlockFormat::kQ8_0));
    backend_->linear({to_device(input.view()).view(), placed, output.view(), seed % 2 == 0});
    // f16 or, for many tokens, BF16 on both sides; BF16 where there are no units.
    const double rounding = c.num_tokens > 64 ? 0x1p-7 : has_units ? 0x1.2p-11 : 0x1.2p-9;
    const auto weights = test::decode(matrix.view());
    std::vector<double> values;
    std::vector<double> tolerance;
    for (std::int64_t t = 0; t < c.num_tokens; ++t) {
      for (std::int64_t n = 0; n < c.rows; ++n) {
        double sum = seed % 2 == 0 ? double{initial.as<float>()[t * c.rows + n]} : 0.0;
        double products = 0.0;
        for (std::int64_t k = 0; k < c.cols; ++k) {
          const double product = double{input.as<float>()[t * c.cols + k]} *
                                 double{weights[static_cast<std::size_t>(n * c.cols + k)]};
          sum += product;
          products += std::fabs(product);
        }
        values.push_back(sum);
        tolerance.push_back(rounding * products + 1e-5);
      }
    }
    test::expect_close(test::floats(to_host(output)), values, tolerance);
  }
};

TEST_F(CudaBlockFormats, Products) {
  unsigned seed = 1;
  for (const Case& c : kCases) {
    for (const BlockFormat format :
         {BlockFormat::kInt8G32, BlockFormat::kQ8_0, BlockFormat::kQ4_K, BlockFormat::kQ6_K}) {
      if (!block_format_fits(format, c.cols)) continue;
      SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", " << c.cols
                                      << "] " << block_format_name(format));
      expect_product(c, format, ++seed);
    }
  }
}

// Together they give the bits that they give alone, also beside other formats. Up to eight tokens
// that meet int8 weights only are normed on the way: the norm's factor comes behind the roundings.
TEST_F(CudaBlockFormats, SeveralAtOnce) {
  for (const std::int64_t num_tokens : {1, 8, 20, 70}) {
    Random random(9);
    const BlockMatrix first(BlockFormat::kInt8G32, 96, 512, random);
    const BlockMatrix second(BlockFormat::kInt8G32, 40, 512, random);
    const test::StoredWeight plain(DType::kBF16, 16, 512, random);
    const Tensor factors = to_device(random.tensor({512}).view());
    const Tensor input = to_device(random.tensor({num_tokens, 512}).view());
    for (const bool mixed : {false, true}) {
      const WeightView weights[] = {place(first.view()), place(second.view()), place(plain.view())};
      const Tensor normed = backend_->allocate(DType::kF32, {num_tokens, 512});
      std::vector<Tensor> together;
      std::vector<Tensor> alone;
      std::vector<LinearArgs> products;
      for (std::size_t i = 0; i < (mixed ? 3U : 2U); ++i) {
        together.push_back(backend_->allocate(DType::kF32, {num_tokens, weights[i].rows}));
        alone.push_back(backend_->allocate(DType::kF32, {num_tokens, weights[i].rows}));
        products.push_back({normed.view(), weights[i], together[i].view(), false});
      }
      const RmsNormArgs norm = {input.view(), factors.view(), 1e-6F, normed.view()};
      backend_->norm_linears(norm, products);
      backend_->rms_norm(norm);
      for (std::size_t i = 0; i < products.size(); ++i) {
        backend_->linear({normed.view(), weights[i], alone[i].view(), false});
        const Tensor got = to_host(together[i]);
        const Tensor want = to_host(alone[i]);
        if (mixed || num_tokens > 8) {
          test::expect_same_bits(test::floats(got), test::floats(want));
        } else {
          const std::span<const float> numbers = test::floats(want);
          const std::vector<double> values(numbers.begin(), numbers.end());
          double largest = 0.0;
          for (const double value : values) largest = std::max(largest, std::fabs(value));
          const std::vector<double> tolerance(values.size(), 0x1p-10 * largest);
          test::expect_close(test::floats(got), values, tolerance);
        }
      }
    }
  }
}

// Experts of 8 bits and dense matrices of 4 become BF16; the others keep their numbers.
TEST_F(CudaBlockFormats, ModelsAreWidenedByUse) {
  Random random(11);
  const BlockMatrix int8(BlockFormat::kQ8_0, 64, 256, random);
  const BlockMatrix int4(BlockFormat::kQ4_0, 64, 256, random);
  const MiniMaxM2Config config = test::tiny_config();
  ModelWeights weights = *test::TinyWeights(config, 5).share();
  weights.layers[0].q = int4.view();
  weights.layers[0].k = int8.view();
  weights.layers[0].experts[0].gate = int4.view();
  weights.layers[0].experts[0].up = int8.view();
  const auto placement = Placement::on(*backend_, config.num_hidden_layers);
  const ModelWeights placed = place_weights(weights, placement);
  const LayerWeights& layer = placed.layers[0];
  EXPECT_EQ(layer.k.block_format, BlockFormat::kInt8G32);
  EXPECT_EQ(layer.experts[0].gate.block_format, BlockFormat::kInt4G32);
  for (const auto& [got, host] :
       {std::pair(layer.q, int4.view()), std::pair(layer.experts[0].up, int8.view())}) {
    ASSERT_EQ(got.dtype, DType::kBF16);
    const Tensor values(DType::kBF16, {64, 256});
    backend_->download({const_cast<void*>(got.data), DType::kBF16, {64, 256}}, values.view());
    const auto want = test::decode(host);
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(to_float(values.as<bf16>()[i]), want[i], std::fabs(want[i]) * 0x1p-8) << i;
    }
  }
}

TEST_F(CudaBlockFormats, EmbeddingRows) {
  Random random(10);
  for (const BlockFormat format : {BlockFormat::kInt8G32, BlockFormat::kQ8_0, BlockFormat::kQ6_K}) {
    const BlockMatrix matrix(format, 40, 256, random);
    const Tensor ids = test::tensor_of<std::int32_t>({39, 0, 17}, {3});
    const Tensor expected(DType::kF32, {3, 256});
    const Tensor output = backend_->allocate(DType::kF32, {3, 256});
    reference::embedding({ids.view(), matrix.view(), expected.view()});
    backend_->embedding({to_device(ids.view()).view(), place(matrix.view()), output.view()});
    const Tensor downloaded = to_host(output);
    const auto got = test::floats(downloaded);
    const auto want = test::floats(expected);
    for (std::size_t i = 0; i < want.size(); ++i) {
      const float limit = format == BlockFormat::kQ6_K ? std::fabs(want[i]) * 0x1p-8F : 0.0F;
      ASSERT_NEAR(got[i], want[i], limit) << block_format_name(format) << " " << i;
    }
  }
}

}  // namespace
}  // namespace m2
