// Weights on a device that reads them late.
#include "model/place_weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/distant_backend.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

class PlaceWeights : public testing::Test {
 protected:
  void expect_placed(const WeightView& host, const WeightView& placed, MatrixUse use) {
    EXPECT_EQ(backend_->use_of(host), use);
    const Tensor back(placed.dtype, {placed.rows, placed.cols});
    backend_->download({const_cast<void*>(placed.data), placed.dtype, {placed.rows, placed.cols}},
                       back.view());
    EXPECT_EQ(std::memcmp(back.view().data, host.data, back.view().num_bytes()), 0);
  }

  const MiniMaxM2Config config_ = test::tiny_config();
  const ModelWeights weights_ = *test::TinyWeights(config_, 5).share();
  const std::shared_ptr<test::DistantBackend> backend_ = std::make_shared<test::DistantBackend>();
};

// Everything is there on return, and the device was told what each matrix is for.
TEST_F(PlaceWeights, ArriveWithTheirUse) {
  const ModelWeights placed =
      place_weights(weights_, Placement::on(backend_, config_.num_hidden_layers));
  expect_placed(weights_.embed_tokens, placed.embed_tokens, MatrixUse::kProduct);
  expect_placed(weights_.lm_head, placed.lm_head, MatrixUse::kProduct);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& host = weights_.layers[i];
    const LayerWeights& device = placed.layers[i];
    expect_placed(host.q, device.q, MatrixUse::kProduct);
    expect_placed(host.k, device.k, MatrixUse::kProduct);
    expect_placed(host.v, device.v, MatrixUse::kProduct);
    expect_placed(host.attn_out, device.attn_out, MatrixUse::kProduct);
    expect_placed(host.gate, device.gate, MatrixUse::kProduct);
    for (std::size_t e = 0; e < host.experts.size(); ++e) {
      expect_placed(host.experts[e].gate, device.experts[e].gate, MatrixUse::kExpert);
      expect_placed(host.experts[e].up, device.experts[e].up, MatrixUse::kExpert);
      expect_placed(host.experts[e].down, device.experts[e].down, MatrixUse::kExpert);
    }
  }
}

}  // namespace
}  // namespace m2
