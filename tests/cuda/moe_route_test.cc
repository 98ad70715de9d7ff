#include "ops/moe_route.h"

#include <limits>

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

class CudaMoeRoute : public test::DeviceTest {
 protected:
  struct Result {
    Tensor logits;
    Tensor ids;
    Tensor weights;
  };

  Result route(const Tensor& hidden, const WeightView& gate, const Tensor& bias,
               std::int64_t top_k) {
    const std::int64_t num_tokens = hidden.shape()[0];
    const Tensor logits = backend_->allocate(DType::kF32, {num_tokens, gate.rows});
    const Tensor ids = backend_->allocate(DType::kI32, {num_tokens, top_k});
    const Tensor weights = backend_->allocate(DType::kF32, {num_tokens, top_k});
    backend_->moe_route({.hidden_states = to_device(hidden.view()).view(),
                         .gate = place(gate),
                         .correction_bias = to_device(bias.view()).view(),
                         .router_logits = logits.view(),
                         .topk_ids = ids.view(),
                         .topk_weights = weights.view()});
    return {to_host(logits), to_host(ids), to_host(weights)};
  }
};

// The choice is checked against the device's own logits, so that no rounding can turn it.
TEST_F(CudaMoeRoute, ChoosesAsTheReference) {
  struct Case {
    std::int64_t num_tokens, num_experts, hidden_size, top_k;
  };
  for (const Case& c :
       {Case{0, 8, 64, 2}, Case{1, 256, 3072, 8}, Case{37, 256, 128, 8}, Case{5, 7, 33, 7},
        Case{3, 1, 16, 1}, Case{2, 300, 20, 11}, Case{3, 256, 64, 40}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Random random(static_cast<unsigned>(c.num_experts));
      const StoredWeight gate(dtype, c.num_experts, c.hidden_size, random);
      const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size}, 0.2F);
      const Tensor bias = random.tensor({c.num_experts}, 0.5F);
      const Result got = route(hidden, gate.view(), bias, c.top_k);
      const Tensor ids(DType::kI32, {c.num_tokens, c.top_k});
      const Tensor weights(DType::kF32, {c.num_tokens, c.top_k});
      std::vector<float> scores(static_cast<std::size_t>(c.num_experts));
      std::vector<float> choice(scores.size());
      for (std::int64_t t = 0; t < c.num_tokens; ++t) {
        choose_experts({hidden.view(), gate.view(), bias.view(), got.logits.view(), ids.view(),
                        weights.view()},
                       t, scores, choice);
      }
      for (std::int64_t i = 0; i < c.num_tokens * c.top_k; ++i) {
        ASSERT_EQ(got.ids.as<std::int32_t>()[i], ids.as<std::int32_t>()[i]) << i;
        EXPECT_NEAR(got.weights.as<float>()[i], weights.as<float>()[i], 0x1p-20) << i;
      }
    }
  }
}

// Equal scores go to the lowest index; a NaN is the last choice but a valid one.
TEST_F(CudaMoeRoute, TiesAndNan) {
  const Tensor zero(DType::kF32, {6, 4});
  const WeightView gate = {.data = zero.view().data, .rows = 6, .cols = 4};
  const Tensor hidden(DType::kF32, {1, 4});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor bias = test::tensor_of<float>({nan, 0.0F, -0.0F, 1.0F, 0.0F, 1.0F}, {6});
  const Result got = route(hidden, gate, bias, 6);
  const std::int32_t expected[] = {3, 5, 1, 2, 4, 0};
  for (int j = 0; j < 6; ++j) EXPECT_EQ(got.ids.as<std::int32_t>()[j], expected[j]) << j;
}

}  // namespace
}  // namespace m2
