// Weights on a device that reads them late, and lacks some formats.
#include "model/place_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "quant/ggml_format.h"
#include "support/distant_backend.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

// A matrix in a format of GGUF's, of numbers from -1 to 1.
class GgmlMatrix {
 public:
  GgmlMatrix(BlockFormat format, std::int64_t rows, std::int64_t cols)
      : bytes_(static_cast<std::size_t>(rows * ggml_layout(format).row_bytes(cols))),
        view_({.data = bytes_.data(),
               .dtype = DType::kU8,
               .rows = rows,
               .cols = cols,
               .block_format = format}) {
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        row[c] = std::sin(static_cast<float>(r * 31 + static_cast<std::int64_t>(c) * 7));
      }
      encode_ggml_row(format, row.data(), cols,
                      bytes_.data() + r * ggml_layout(format).row_bytes(cols));
    }
  }
  [[nodiscard]] const WeightView& view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  WeightView view_;
};

// Experts of 8 bits and dense matrices of 4 become BF16, each with numbers of its own.
TEST(PlaceWeights, WidensWhatADeviceLacks) {
  const GgmlMatrix int8(BlockFormat::kQ8_0, 24, 32);
  const GgmlMatrix int4(BlockFormat::kQ4_0, 64, 32);
  const MiniMaxM2Config config = test::tiny_config();
  ModelWeights weights = *test::TinyWeights(config, 5).share();
  weights.layers[0].q = int4.view();
  weights.layers[1].experts[2].gate = int8.view();
  weights.layers[1].experts[3].up = int8.view();
  const auto backend = std::make_shared<test::DistantBackend>();
  const ModelWeights placed =
      place_weights(weights, Placement::on(backend, config.num_hidden_layers));
  for (const auto& [got, host] : {std::pair(placed.layers[0].q, int4.view()),
                                  std::pair(placed.layers[1].experts[2].gate, int8.view()),
                                  std::pair(placed.layers[1].experts[3].up, int8.view())}) {
    ASSERT_EQ(got.dtype, DType::kBF16);
    ASSERT_EQ(got.block_format, BlockFormat::kNone);
    const Tensor values(DType::kBF16, {got.rows, got.cols});
    backend->download({const_cast<void*>(got.data), DType::kBF16, {got.rows, got.cols}},
                      values.view());
    std::vector<float> row(static_cast<std::size_t>(host.cols));
    for (std::int64_t r = 0; r < host.rows; ++r) {
      decode_row(host, r, row.data());
      for (std::size_t c = 0; c < row.size(); ++c) {
        const bf16 value = values.as<bf16>()[static_cast<std::size_t>(r * host.cols) + c];
        ASSERT_EQ(to_float(value), to_float(to_bf16(row[c]))) << r << ", " << c;
      }
    }
  }
  EXPECT_EQ(placed.layers[1].experts[2].up.dtype, DType::kF32);
}

}  // namespace
}  // namespace m2
