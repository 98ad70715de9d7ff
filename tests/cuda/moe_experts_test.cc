#include "ops/moe_experts.h"

#include <optional>

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Case {
  std::int64_t num_tokens;
  std::int64_t hidden_size;
  std::int64_t inner_size;
  std::int64_t num_experts;
  std::int64_t top_k;
};

// Few tokens and their own path, full and partial tiles of tokens, one expert that gets everything,
// sizes that take the plain path, the model's widths, more tokens than a block sorts; two to four
// tokens that share experts, that share none, with an odd number of experts, with more choices than
// a warp has lanes.
constexpr Case kCases[] = {
    {0, 64, 64, 4, 2},     {1, 64, 64, 4, 2},     {1, 256, 192, 12, 8}, {1, 128, 64, 80, 70},
    {2, 128, 320, 8, 3},   {9, 192, 64, 1, 1},    {37, 64, 128, 3, 2},  {150, 128, 64, 5, 4},
    {3, 33, 20, 6, 2},     {20, 48, 65, 4, 2},    {4, 3072, 128, 6, 2}, {1, 128, 1536, 4, 2},
    {1, 512, 1536, 4, 3},  {3, 1024, 512, 6, 3},  {40, 512, 512, 3, 2}, {1, 512, 512, 80, 70},
    {1, 3072, 1536, 3, 3}, {9, 3072, 1536, 2, 2}, {1, 512, 2048, 5, 5}, {520, 128, 64, 5, 4},
    {4, 3072, 1536, 3, 2}, {4, 512, 512, 40, 8},  {3, 512, 1536, 5, 5}, {4, 512, 512, 20, 9},
};

// Relative to the norm of a row: four times what the activations of both products are held to, for
// experts that cancel.
double epsilon_of(DType dtype) {
  if (dtype == DType::kF32) return 0x1p-19;
  return dtype == DType::kBF16 ? 0x1p-14 : 0x1p-10;
}

class CudaMoeExperts : public test::DeviceTest {
 protected:
  struct Layer {
    std::vector<StoredWeight> stored;
    std::vector<ExpertWeights> host;
    std::vector<ExpertWeights> device;
  };

  Layer make_layer(const Case& c, DType dtype, Random& random) {
    Layer layer;
    for (std::int64_t e = 0; e < c.num_experts; ++e) {
      layer.stored.emplace_back(dtype, c.inner_size, c.hidden_size, random);
      layer.stored.emplace_back(dtype, c.inner_size, c.hidden_size, random);
      layer.stored.emplace_back(dtype, c.hidden_size, c.inner_size, random);
    }
    for (std::size_t e = 0; e < layer.stored.size(); e += 3) {
      layer.host.push_back(
          {layer.stored[e].view(), layer.stored[e + 1].view(), layer.stored[e + 2].view()});
      const ExpertWeights& host = layer.host.back();
      layer.device.push_back({place(host.gate, MatrixUse::kExpert),
                              place(host.up, MatrixUse::kExpert),
                              place(host.down, MatrixUse::kExpert)});
    }
    return layer;
  }

  void expect_match(const Case& c, DType dtype, unsigned seed) {
    SCOPED_TRACE(testing::Message()
                 << c.num_tokens << " tokens, " << c.hidden_size << " x " << c.inner_size << ", "
                 << c.top_k << " of " << c.num_experts << " " << dtype_name(dtype));
    Random random(seed);
    const Layer layer = make_layer(c, dtype, random);
    const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size});
    const Tensor ids = test::neighbouring_experts(c.num_tokens, c.top_k, c.num_experts, random);
    const Tensor weights = random.tensor({c.num_tokens, c.top_k});
    const Tensor expected = random.tensor({c.num_tokens, c.hidden_size});
    const Tensor output = to_device(expected.view());
    MoeExpertsArgs args = {.hidden_states = hidden.view(),
                           .topk_ids = ids.view(),
                           .topk_weights = weights.view(),
                           .experts = layer.host,
                           .output = expected.view()};
    reference::moe_experts(args);
    const Tensor device_hidden = to_device(hidden.view());
    const Tensor device_ids = to_device(ids.view());
    const Tensor device_weights = to_device(weights.view());
    args = {.hidden_states = device_hidden.view(),
            .topk_ids = device_ids.view(),
            .topk_weights = device_weights.view(),
            .experts = layer.device,
            .output = output.view()};
    backend_->moe_experts(args);
    const Tensor got = to_host(output);
    test::expect_rows_within(test::floats(got), test::floats(expected), c.hidden_size,
                             epsilon_of(dtype));
  }
};

// The result is compared with that of the reference, relative to the size of its row: the norms of
// the operands bound both, and the errors of the inner values add to those of the outer product.
class CudaMoeExpertsOf : public CudaMoeExperts, public testing::WithParamInterface<DType> {};

TEST_P(CudaMoeExpertsOf, MatchesTheReference) {
  unsigned seed = 1;
  for (const Case& c : kCases) expect_match(c, GetParam(), ++seed);
}
INSTANTIATE_TEST_SUITE_P(Formats, CudaMoeExpertsOf, testing::ValuesIn(test::kWeightTypes),
                         [](const auto& of) { return std::string(dtype_name(of.param)); });

// More than 64 tokens of the model's widths share wider tiles.
TEST_F(CudaMoeExperts, WideTilesMatchTheReference) {
  expect_match({65, 3072, 1536, 1, 1}, DType::kF8E4M3, 3);
}

// The order of the slots within an expert varies; the results must not.
TEST_F(CudaMoeExperts, RepeatsBitForBitAndTokensAreIndependent) {
  const Case c{60, 512, 512, 6, 3};
  Random random(5);
  const Layer layer = make_layer(c, DType::kF8E4M3, random);
  const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size});
  const Tensor weights = random.tensor({c.num_tokens, c.top_k});
  const Tensor ids(DType::kI32, {c.num_tokens, c.top_k});
  for (std::int64_t i = 0; i < ids.view().num_elements(); ++i) {
    ids.as<std::int32_t>()[i] = static_cast<std::int32_t>((i * i + i / 3) % c.num_experts);
  }
  const auto run = [&](std::int64_t num_tokens) {
    const auto part = [&](const Tensor& all, std::int64_t width) {
      return to_device({all.view().data, all.view().dtype, {num_tokens, width}});
    };
    const Tensor device_hidden = part(hidden, c.hidden_size);
    const Tensor device_ids = part(ids, c.top_k);
    const Tensor device_weights = part(weights, c.top_k);
    const Tensor output = backend_->allocate(DType::kF32, {num_tokens, c.hidden_size});
    backend_->moe_experts({.hidden_states = device_hidden.view(),
                           .topk_ids = device_ids.view(),
                           .topk_weights = device_weights.view(),
                           .experts = layer.device,
                           .output = output.view()});
    return to_host(output);
  };
  const Tensor first = run(c.num_tokens);
  for (int i = 0; i < 5; ++i) {
    test::expect_same_bits(test::floats(run(c.num_tokens)), test::floats(first));
  }
  const Tensor few = run(7);
  test::expect_same_bits(test::floats(few), test::floats(first).first(7 * 512));
}

// Blocks claim their work, and read what others write without waiting for all of it: each launch
// has the bits of the first one all the same.
TEST_F(CudaMoeExperts, FewTokensRepeatBitForBit) {
  constexpr std::int64_t kMostTokens = 4;
  const Case c{kMostTokens, 3072, 1536, 4, 3};
  Random random(8);
  const Layer layer = make_layer(c, DType::kF8E4M3, random);
  for (std::int64_t num_tokens = 1; num_tokens <= kMostTokens; ++num_tokens) {
    SCOPED_TRACE(testing::Message() << num_tokens << " tokens");
    const Tensor hidden = to_device(random.tensor({num_tokens, c.hidden_size}).view());
    const Tensor ids =
        to_device(test::neighbouring_experts(num_tokens, c.top_k, c.num_experts, random).view());
    const Tensor weights = to_device(random.tensor({num_tokens, c.top_k}).view());
    const auto run = [&] {
      const Tensor output = backend_->allocate(DType::kF32, hidden.shape());
      backend_->moe_experts({.hidden_states = hidden.view(),
                             .topk_ids = ids.view(),
                             .topk_weights = weights.view(),
                             .experts = layer.device,
                             .output = output.view()});
      return to_host(output);
    };
    const Tensor first = run();
    for (int i = 0; i < 50; ++i) {
      test::expect_same_bits(test::floats(run()), test::floats(first));
    }
  }
}

TEST_F(CudaMoeExperts, EveryActivationMatchesTheHost) {
  const Case c{1, 64, 64, 1, 1};
  Random random(6);
  const Layer layer = make_layer(c, DType::kF16, random);
  const Tensor hidden = random.tensor({1, 64});
  const Tensor ids(DType::kI32, {1, 1});
  const Tensor weights = random.tensor({1, 1});
  const Tensor device_hidden = to_device(hidden.view());
  const Tensor device_ids = to_device(ids.view());
  const Tensor device_weights = to_device(weights.view());
  for (int i = 0; i <= static_cast<int>(Activation::kLaplace); ++i) {
    const Tensor expected(DType::kF32, {1, 64});
    const Tensor output = backend_->allocate(DType::kF32, {1, 64});
    const auto activation = static_cast<Activation>(i);
    reference::moe_experts(
        {hidden.view(), ids.view(), weights.view(), layer.host, activation, expected.view()});
    backend_->moe_experts({device_hidden.view(), device_ids.view(), device_weights.view(),
                           layer.device, activation, output.view()});
    const Tensor got = to_host(output);
    double norm = 0.0;
    for (const float value : test::floats(expected)) norm = std::fmax(norm, std::fabs(value));
    for (std::int64_t k = 0; k < 64; ++k) {
      EXPECT_NEAR(got.as<float>()[k], expected.as<float>()[k], norm * 0x1p-10)
          << "activation " << i;
    }
  }
}

}  // namespace
}  // namespace m2
