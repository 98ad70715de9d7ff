// Experts in the int4 strip formats: placed, repacked, and multiplied by few and by many tokens.
#include "cuda/moe_block_test.h"
#include "ops/moe_experts.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

using test::Random;

struct Case {
  std::int64_t num_tokens;
  std::int64_t hidden_size;
  std::int64_t inner_size;
  std::int64_t num_experts;
  std::int64_t top_k;
};

// One token with an even and an odd number of experts, with more rows of the mma than warps, and
// with more experts than warps can take at once; full and partial tiles of 4 and 8 tokens; one
// stage, several and a part of one; many tokens with sizes that the matrix units take, and without;
// more tokens than fit a block at a time; up to eight tokens of all experts or of one each, and
// with more choices than inner values that a block holds at a time.
constexpr Case kCases[] = {
    {1, 128, 128, 4, 2},    {1, 256, 384, 12, 8},   {1, 3072, 1536, 9, 3},  {1, 640, 256, 16, 10},
    {1, 1664, 128, 30, 26}, {1, 128, 128, 1, 1},    {8, 3072, 1536, 3, 2},  {2, 128, 256, 8, 3},
    {9, 384, 128, 1, 1},    {16, 256, 128, 3, 2},   {37, 128, 256, 3, 2},   {64, 1664, 128, 5, 4},
    {80, 128, 128, 6, 2},   {265, 256, 256, 4, 2},  {270, 512, 256, 1, 1},  {400, 256, 512, 3, 2},
    {257, 1536, 256, 6, 2}, {16, 3072, 1536, 2, 1}, {17, 3072, 1536, 2, 1}, {200, 3072, 128, 64, 8},
    {8, 640, 1664, 40, 8},  {5, 256, 384, 8, 8},    {7, 384, 128, 20, 1},   {3, 1664, 640, 16, 7},
    {8, 128, 128, 1, 1},    {6, 256, 128, 30, 26},
};

struct Layer {
  std::vector<std::vector<std::byte>> stored;
  std::vector<ExpertWeights> host;
  std::vector<ExpertWeights> device;
};

class CudaInt4Experts : public test::MoeBlockTest {
 protected:
  static WeightView encode(BlockFormat format, std::int64_t rows, std::int64_t cols, Layer& layer,
                           Random& random) {
    const Tensor exact = random.tensor({rows, cols}, 1.0F / std::sqrt(static_cast<float>(cols)));
    const StripLayout layout = strip_layout(format, cols);
    auto& bytes = layer.stored.emplace_back(static_cast<std::size_t>(layout.matrix_bytes(rows)));
    for (std::int64_t first = 0; first < rows; first += kStripRows) {
      encode_strip(format, exact.as<float>() + first * cols,
                   std::min<std::int64_t>(kStripRows, rows - first), cols,
                   bytes.data() + first / kStripRows * layout.strip_bytes());
    }
    return {.data = bytes.data(),
            .dtype = DType::kU8,
            .rows = rows,
            .cols = cols,
            .block_format = format};
  }

  Layer make_layer(const Case& c, BlockFormat format, Random& random) {
    Layer layer;
    for (std::int64_t e = 0; e < c.num_experts; ++e) {
      const ExpertWeights host = {encode(format, c.inner_size, c.hidden_size, layer, random),
                                  encode(format, c.inner_size, c.hidden_size, layer, random),
                                  encode(format, c.hidden_size, c.inner_size, layer, random)};
      layer.host.push_back(host);
      layer.device.push_back({place(host.gate, MatrixUse::kExpert),
                              place(host.up, MatrixUse::kExpert),
                              place(host.down, MatrixUse::kExpert)});
    }
    return layer;
  }

  // Runs both on the hidden states; every token's error against the size of its result.
  void expect_match(const Case& c, BlockFormat format, const Tensor& hidden, Random& random) {
    const Layer layer = make_layer(c, format, random);
    const Tensor ids = test::neighbouring_experts(c.num_tokens, c.top_k, c.num_experts, random);
    const Tensor weights = random.tensor({c.num_tokens, c.top_k});
    const Tensor expected = random.tensor({c.num_tokens, c.hidden_size}, 0.1F);
    const Tensor output = to_device(expected.view());
    reference::moe_experts({.hidden_states = hidden.view(),
                            .topk_ids = ids.view(),
                            .topk_weights = weights.view(),
                            .experts = layer.host,
                            .output = expected.view()});
    backend_->moe_experts({.hidden_states = to_device(hidden.view()).view(),
                           .topk_ids = to_device(ids.view()).view(),
                           .topk_weights = to_device(weights.view()).view(),
                           .experts = layer.device,
                           .output = output.view()});
    const Tensor got = to_host(output);
    // Activations are pairs of bytes. Those of many tokens are F8, off by up to 2^-4 of themselves
    // and 2^-5 on average: of gate, up and down together these add as squares.
    const double tolerance = c.num_tokens > 256 ? 0x1p-3 : 0x1p-10;
    test::expect_rows_within(test::floats(got), test::floats(expected), c.hidden_size, tolerance);
  }

  // The hidden states and what the experts of the layer add to them.
  Tensor run_experts(const Layer& layer, const Tensor& hidden, const Tensor& ids,
                     const Tensor& weights) {
    const Tensor output = to_device(hidden.view());
    backend_->moe_experts({.hidden_states = to_device(hidden.view()).view(),
                           .topk_ids = to_device(ids.view()).view(),
                           .topk_weights = to_device(weights.view()).view(),
                           .experts = layer.device,
                           .output = output.view()});
    return to_host(output);
  }

  void expect_matches(BlockFormat format) {
    unsigned seed = 1;
    for (const Case& c : kCases) {
      SCOPED_TRACE(testing::Message()
                   << c.num_tokens << " tokens, " << c.hidden_size << " x " << c.inner_size << ", "
                   << c.top_k << " of " << c.num_experts);
      Random random(++seed);
      const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size}, 3.0F);
      expect_match(c, format, hidden, random);
    }
  }
};

constexpr BlockFormat kFormats[] = {BlockFormat::kInt4G128, BlockFormat::kInt4G32};

TEST_F(CudaInt4Experts, GroupsOf128MatchTheReference) { expect_matches(BlockFormat::kInt4G128); }
TEST_F(CudaInt4Experts, GroupsOf32MatchTheReference) { expect_matches(BlockFormat::kInt4G32); }

// Sums of products with codes start from what the offset of the codes adds, which is much larger
// than the result where all activations have one sign.
TEST_F(CudaInt4Experts, MatchesForActivationsOfOneSignAndAnySize) {
  for (const std::int64_t num_tokens : {1, 11}) {
    for (const BlockFormat format : kFormats) {
      for (const float size : {1e-9F, 1.0F, 1e9F}) {
        SCOPED_TRACE(testing::Message()
                     << num_tokens << " tokens of " << size << " " << block_format_name(format));
        Random random(7);
        const Tensor hidden = random.tensor({num_tokens, 3072}, size);
        for (float& x :
             std::span(hidden.as<float>(), static_cast<std::size_t>(num_tokens * 3072))) {
          x = size + std::abs(x);
        }
        expect_match({num_tokens, 3072, 256, 5, 4}, format, hidden, random);
      }
    }
  }
}

// Blocks of the experts choose by themselves; ids and weights are written all the same.
TEST_F(CudaInt4Experts, ChooseInsideTheirKernel) {
  constexpr std::int64_t kWidth = 256;
  constexpr std::int64_t kExperts = 40;
  constexpr std::int64_t kChosen = 3;
  Random random(52);
  const Layer layer =
      make_layer({0, kWidth, kWidth, kExperts, kChosen}, BlockFormat::kInt4G128, random);
  make_router(kExperts, kWidth, random);
  for (const std::int64_t num_tokens : {1, 2, 7, 8}) {
    SCOPED_TRACE(testing::Message() << num_tokens << " tokens");
    const Tensor input = random.tensor({num_tokens, kWidth});
    const BlockOutputs apart = run_block(input, layer.device, kChosen, false);
    const BlockOutputs fused = run_block(input, layer.device, kChosen, true);
    expect_same_bits(fused.residual, apart.residual);
    expect_same_choice(fused, apart);
  }
}

// Which tiles a block takes varies; the results must not. An odd number of experts: warps take them
// in turns.
TEST_F(CudaInt4Experts, RepeatBitForBit) {
  constexpr std::int64_t kWidth = 1024;
  constexpr std::int64_t kExperts = 9;
  constexpr std::int64_t kChosen = 5;
  for (const BlockFormat format : kFormats) {
    Random random(61);
    const Layer layer = make_layer({0, kWidth, kWidth, kExperts, kChosen}, format, random);
    make_router(kExperts, kWidth, random);
    for (const std::int64_t num_tokens : {1, 3}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens " << block_format_name(format));
      const Tensor input = random.tensor({num_tokens, kWidth});
      const BlockOutputs first = run_block(input, layer.device, kChosen, true);
      for (int i = 0; i < 20; ++i) {
        expect_same_bits(run_block(input, layer.device, kChosen, true).residual, first.residual);
      }
    }
  }
}

// Blocks claim their work, and launches leave marks in the memory of others of as many choices.
TEST_F(CudaInt4Experts, RepeatBitForBitBesideOtherNumbersOfTokens) {
  constexpr int kRounds = 20;
  constexpr std::int64_t kWidth = 1536;
  constexpr std::int64_t kExperts = 24;
  constexpr std::int64_t kChosen = 4;
  Random random(61);
  const Layer layer =
      make_layer({0, kWidth, 640, kExperts, kChosen}, BlockFormat::kInt4G128, random);
  struct Batch {
    Tensor hidden, ids, weights, first;
  };
  std::vector<Batch> batches;
  for (const std::int64_t num_tokens : {1, 2, 3, 5, 8, 8, 2}) {
    batches.push_back({random.tensor({num_tokens, kWidth}),
                       test::neighbouring_experts(num_tokens, kChosen, kExperts, random),
                       random.tensor({num_tokens, kChosen}), Tensor()});
  }
  for (int round = 0; round < kRounds; ++round) {
    for (Batch& batch : batches) {
      SCOPED_TRACE(testing::Message() << "round " << round << ", " << batch.hidden.shape()[0]);
      Tensor got = run_experts(layer, batch.hidden, batch.ids, batch.weights);
      if (round == 0) {
        batch.first = std::move(got);
      } else {
        test::expect_same_bits(test::floats(got), test::floats(batch.first));
      }
    }
  }
}

TEST_F(CudaInt4Experts, WidensWhatTheUnitsCannotHold) {
  Random random(3);
  Layer layer;
  for (const auto& [rows, cols] : {std::pair{16, 96}, std::pair{24, 128}}) {
    const WeightView weight = encode(BlockFormat::kInt4G32, rows, cols, layer, random);
    EXPECT_EQ(place(weight, MatrixUse::kExpert).dtype, DType::kBF16) << rows << " x " << cols;
  }
}

}  // namespace
}  // namespace m2
