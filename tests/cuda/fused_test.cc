// The operations that do several at once, against their parts; and steps that are replayed.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "cuda/moe_block_test.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

class CudaFused : public test::MoeBlockTest {
 protected:
  void expect_near(const Tensor& device, const Tensor& expected, double epsilon) {
    const Tensor got = to_host(device);
    const Tensor want = to_host(expected);
    double norm = 0.0;
    for (const float value : test::floats(want)) norm = std::fmax(norm, std::fabs(value));
    for (std::int64_t i = 0; i < want.view().num_elements(); ++i) {
      ASSERT_NEAR(got.as<float>()[i], want.as<float>()[i], norm * epsilon) << "element " << i;
    }
  }
  Tensor zeros(const Shape& shape, DType dtype = DType::kF32) {
    return backend_->allocate(dtype, shape);
  }
};

// Few tokens are normed by the products' own blocks, more of them before; both round activations to
// 2^-12 (2^-17 for BF16), once. Many are normed while they are rounded to F8, where a different
// last bit may take a number to its other neighbour.
TEST_F(CudaFused, NormLinears) {
  unsigned seed = 20;
  for (const DType dtype : test::kWeightTypes) {
    for (const std::int64_t num_tokens : {0, 1, 2, 3, 8, 9, 40, 65, 130}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens " << dtype_name(dtype));
      Random random(++seed);
      const bool many = num_tokens > 64;
      const StoredWeight weights[] = {StoredWeight(dtype, many ? 512 : 48, 1024, random),
                                      StoredWeight(dtype, many ? 256 : 17, 1024, random)};
      const Tensor input = to_device(random.tensor({num_tokens, 1024}, 20.0F).view());
      const Tensor factors = to_device(random.tensor({1024}).view());
      const Tensor normed = zeros(input.shape());
      const RmsNormArgs norm = {input.view(), factors.view(), 1e-6F, normed.view()};
      std::vector<Tensor> together;
      std::vector<Tensor> apart;
      std::vector<LinearArgs> products;
      backend_->rms_norm(norm);
      for (const StoredWeight& weight : weights) {
        const WeightView placed = place(weight.view());
        together.push_back(zeros({num_tokens, placed.rows}));
        apart.push_back(zeros({num_tokens, placed.rows}));
        backend_->linear({normed.view(), placed, apart.back().view()});
        products.push_back({normed.view(), placed, together.back().view()});
      }
      backend_->norm_linears(norm, products);
      for (std::size_t i = 0; i < products.size(); ++i) {
        const double epsilon = dtype == DType::kBF16 ? 0x1p-14 : 0x1p-10;
        expect_near(together[i], apart[i], many ? 0x1p-7 : epsilon);
      }
    }
  }
}

TEST_F(CudaFused, NormRoute) {
  for (const std::int64_t num_tokens : {0, 1, 7, 8, 9, 33, 64, 70}) {
    for (const std::int64_t num_experts : {5, 256, 300}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens, " << num_experts << " experts");
      Random random(31);
      const StoredWeight gate(DType::kF32, num_experts, 3072, random);
      const Tensor input = to_device(random.tensor({num_tokens, 3072}, 3.0F).view());
      const Tensor factors = to_device(random.tensor({3072}).view());
      const Tensor bias = to_device(random.tensor({num_experts}, 0.01F).view());
      const WeightView placed = place(gate.view());
      struct Outputs {
        Tensor normed, logits, ids, weights;
      };
      const auto run = [&](bool fused) {
        Outputs out = {zeros(input.shape()), zeros({num_tokens, num_experts}),
                       zeros({num_tokens, 3}, DType::kI32), zeros({num_tokens, 3})};
        const RmsNormArgs norm = {input.view(), factors.view(), 1e-6F, out.normed.view()};
        const MoeRouteArgs route = {out.normed.view(), placed,         bias.view(),
                                    out.logits.view(), out.ids.view(), out.weights.view()};
        if (fused) {
          backend_->norm_route(norm, route);
        } else {
          backend_->rms_norm(norm);
          backend_->moe_route(route);
        }
        return out;
      };
      const Outputs apart = run(false);
      for (int repeat = 0; repeat < 3; ++repeat) {  // it leaves its memory as it needs it
        const Outputs fused = run(true);
        expect_near(fused.normed, apart.normed, 0x1p-20);
        expect_near(fused.logits, apart.logits, 0x1p-18);
        expect_near(fused.weights, apart.weights, 0x1p-14);
        const Tensor got = to_host(fused.ids);
        const Tensor want = to_host(apart.ids);
        EXPECT_EQ(std::memcmp(got.view().data, want.view().data, want.view().num_bytes()), 0);
      }
    }
  }
}

// Blocks of the experts may choose for themselves; ids and weights are written all the same.
TEST_F(CudaFused, MoeBlock) {
  constexpr std::int64_t kWidth = 512;
  constexpr std::int64_t kExperts = 40;
  constexpr std::int64_t kChosen = 3;
  for (const DType dtype : {DType::kF8E4M3, DType::kF32}) {
    Random random(51);
    std::vector<StoredWeight> stored;
    std::vector<ExpertWeights> experts;
    for (std::int64_t e = 0; e < 3 * kExperts; ++e) {
      stored.emplace_back(dtype, kWidth, kWidth, random);
    }
    for (std::size_t e = 0; e < stored.size(); e += 3) {
      experts.push_back(
          {place(stored[e].view()), place(stored[e + 1].view()), place(stored[e + 2].view())});
    }
    make_router(kExperts, kWidth, random);
    for (const std::int64_t num_tokens : {0, 1, 2, 3, 4, 8, 20}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens " << dtype_name(dtype));
      const Tensor input = random.tensor({num_tokens, kWidth});
      const BlockOutputs apart = run_block(input, experts, kChosen, false);
      const BlockOutputs fused = run_block(input, experts, kChosen, true);
      expect_near(fused.residual, apart.residual, 0x1p-20);
      expect_same_choice(fused, apart);
    }
  }
}

// The second norm writes the experts' rows as F8, from which the same bits come.
TEST_F(CudaFused, MoeBlockOfManyTokens) {
  constexpr std::int64_t kHidden = 512;
  constexpr std::int64_t kInner = 256;
  constexpr std::int64_t kExperts = 256;
  constexpr std::int64_t kChosen = 4;
  constexpr std::int64_t kTokens = 700;
  for (const DType dtype : {DType::kF8E4M3, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(dtype));
    Random random(53);
    std::vector<ExpertWeights> experts;
    for (std::size_t e = 0; e < kExperts; ++e) {
      if (e >= 8) {
        experts.push_back(experts[e % 8]);
        continue;
      }
      const auto expert = [&](std::int64_t rows, std::int64_t cols) {
        return place(StoredWeight(dtype, rows, cols, random).view(), MatrixUse::kExpert);
      };
      experts.push_back({.gate = expert(kInner, kHidden),
                         .up = expert(kInner, kHidden),
                         .down = expert(kHidden, kInner)});
    }
    make_router(kExperts, kHidden, random);
    const Tensor input = random.tensor({kTokens, kHidden}, 3.0F);
    const Tensor apart = to_host(run_block(input, experts, kChosen, false).residual);
    const Tensor fused = to_host(run_block(input, experts, kChosen, true).residual);
    EXPECT_NE(std::memcmp(fused.view().data, input.view().data, input.view().num_bytes()), 0);
    test::expect_same_bits(test::floats(fused), test::floats(apart));
  }
}

TEST_F(CudaFused, QkNormRopeAppend) {
  struct Case {
    std::int64_t num_tokens, head_dim;
    KvFormat format;
  };
  for (const Case& c :
       {Case{5, 128, KvFormat::kF32}, Case{5, 128, KvFormat::kBF16},
        Case{5, 128, KvFormat::kF8E4M3}, Case{70, 128, KvFormat::kF8E4M3},
        Case{5, 20, KvFormat::kF32}, Case{5, 20, KvFormat::kBF16}, Case{5, 20, KvFormat::kF8E4M3},
        Case{70, 128, KvFormat::kF32}, Case{70, 128, KvFormat::kBF16}}) {
    const std::int64_t num_tokens = c.num_tokens;
    const std::int64_t head_dim = c.head_dim;
    const KvFormat format = c.format;
    SCOPED_TRACE(testing::Message() << num_tokens << " tokens, heads of " << head_dim);
    Random random(41);
    const Tensor q = random.tensor({num_tokens, 6 * head_dim});
    const Tensor k = random.tensor({num_tokens, 2 * head_dim});
    const Tensor v = to_device(random.tensor({num_tokens, 2, head_dim}).view());
    const Tensor q_weight = to_device(random.tensor({6 * head_dim}).view());
    const Tensor k_weight = to_device(random.tensor({2 * head_dim}).view());
    const Tensor cos = to_device(random.tensor({num_tokens, 8}).view());
    const Tensor sin = to_device(random.tensor({num_tokens, 8}).view());
    std::vector<std::int64_t> scattered;
    for (std::int64_t i = 0; i < num_tokens; ++i) scattered.push_back((i + 3) * 7 % 80);
    const Tensor slots = to_device(test::tensor_of<std::int64_t>(scattered, {num_tokens}).view());
    const auto run = [&](bool fused) {
      std::vector<Tensor> out;
      out.push_back(to_device(q.view()));
      out.push_back(to_device(k.view()));
      out.push_back(zeros({20, 2, 4, head_dim}, storage_dtype(format)));
      out.push_back(zeros({20, 2, 4, head_dim}, storage_dtype(format)));
      const QkNormRopeArgs rotate = {out[0].view(), out[1].view(), q_weight.view(), k_weight.view(),
                                     1e-6F,         cos.view(),    sin.view(),      head_dim};
      const TensorView heads = {out[1].view().data, DType::kF32, {num_tokens, 2, head_dim}};
      const KvAppendArgs append = {
          heads,
          v.view(),
          slots.view(),
          {.keys = out[2].view(), .values = out[3].view(), .format = format}};
      if (fused) {
        backend_->qk_norm_rope_append(rotate, append);
      } else {
        backend_->qk_norm_rope(rotate);
        backend_->kv_append(append);
      }
      return out;
    };
    const auto apart = run(false);
    const auto fused = run(true);
    for (std::size_t i = 0; i < apart.size(); ++i) {
      const Tensor got = to_host(fused[i]);
      const Tensor want = to_host(apart[i]);
      EXPECT_EQ(std::memcmp(got.view().data, want.view().data, want.view().num_bytes()), 0)
          << "output " << i;
    }
  }
}

TEST_F(CudaFused, HeadsNormTheirRows) {
  Random random(53);
  const std::int64_t cols = 3072;
  const StoredWeight weights[] = {StoredWeight(DType::kBF16, 8464, cols, random),
                                  StoredWeight(BlockFormat::kInt8G32, 72, cols, random)};
  for (const StoredWeight& weight : weights) {
    const WeightView placed = place(weight.view());
    for (const std::int64_t num_tokens : {1, 5, 8, 20}) {
      SCOPED_TRACE(testing::Message() << num_tokens << " tokens, " << placed.rows << " rows");
      const Tensor input = to_device(random.tensor({num_tokens, cols}, 20.0F).view());
      const Tensor factors = to_device(random.tensor({cols}).view());
      const Tensor normed = zeros(input.shape());
      const Tensor together = zeros({num_tokens, placed.rows});
      const Tensor apart = zeros(together.shape());
      const RmsNormArgs norm = {input.view(), factors.view(), 1e-6F, normed.view()};
      const LinearArgs product = {normed.view(), placed, together.view()};
      backend_->rms_norm(norm);
      backend_->linear({normed.view(), placed, apart.view()});
      backend_->norm_linears(norm, {&product, 1});
      expect_near(together, apart, placed.dtype == DType::kBF16 ? 0x1p-14 : 0x1p-10);
    }
  }
}

// A recorded step works on what its buffers hold when it is replayed, also after workspaces moved
// and after more keys came by than records are kept.
TEST_F(CudaFused, StepsReplayWithNewContents) {
  Random random(51);
  const Tensor factors = to_device(random.tensor({256}).view());
  const StoredWeight stored(DType::kBF16, 64, 256, random);
  const WeightView weight = place(stored.view());
  const Tensor input = zeros({3, 256});
  const Tensor normed = zeros({3, 256});
  const Tensor output = zeros({3, 64});
  int calls = 0;
  const auto work = [&] {
    ++calls;
    backend_->rms_norm({input.view(), factors.view(), 1e-6F, normed.view()});
    backend_->linear({normed.view(), weight, output.view()});
  };
  const auto check_run = [&](std::uint64_t key) {
    const Tensor host = random.tensor({3, 256});
    backend_->upload(host.view(), input.view());
    backend_->run_step(std::span(&key, 1), work);
    const Tensor want_normed = zeros({3, 256});
    const Tensor want = zeros({3, 64});
    backend_->rms_norm({input.view(), factors.view(), 1e-6F, want_normed.view()});
    backend_->linear({want_normed.view(), weight, want.view()});
    const Tensor got_host = to_host(output);
    const Tensor want_host = to_host(want);
    test::expect_same_bits(test::floats(got_host), test::floats(want_host));
  };
  for (int i = 0; i < 5; ++i) check_run(1);
  EXPECT_EQ(calls, 2);  // run once, recorded once
  for (std::uint64_t key = 100; key < 200; ++key) check_run(key);
  for (int i = 0; i < 3; ++i) check_run(1);
  EXPECT_EQ(calls, 2 + 100 + 2);
  for (int i = 0; i < 3; ++i) check_run(2);
  EXPECT_THROW(
      {
        for (int i = 0; i < 2; ++i) {
          const std::uint64_t key = 3;
          backend_->run_step(std::span(&key, 1), [&] {
            if (i == 1) fail(ErrorCode::kInternal, "in the middle of a recording");
            work();
          });
        }
      },
      Error);
  check_run(4);
}

// Copies of a recorded step take what the host's memory holds at each replay, and give what the
// device's holds at its end.
TEST_F(CudaFused, StepsCopyFromAndToTheHost) {
  struct Case {
    std::int64_t small;  // numbers: neither need be whole vectors
    std::int64_t large;
    int num_downloads;
  };
  std::uint64_t key = 500;
  for (const auto& [small, large, num_downloads] :
       {Case{1, 7, 1}, Case{3, 4099, 2}, Case{128, 300000, 2}, Case{16, 64, 0}}) {
    SCOPED_TRACE(testing::Message() << small << " " << large << " " << num_downloads);
    Random random(52);
    const Tensor host[2] = {Tensor(DType::kF32, {small}), Tensor(DType::kF32, {large})};
    const Tensor results[2] = {Tensor(DType::kF32, {small}), Tensor(DType::kF32, {large})};
    const Tensor device[2] = {zeros({small}), zeros({large})};
    const Tensor copies[2] = {zeros({small}), zeros({large})};
    ++key;
    for (int run = 0; run < 6; ++run) {
      std::vector<float> want[2];
      for (int i = 0; i < 2; ++i) {
        const Tensor numbers = random.tensor(host[i].shape());
        std::ranges::copy(test::floats(numbers), host[i].as<float>());
        want[i].assign(host[i].as<float>(), host[i].as<float>() + numbers.view().num_elements());
      }
      backend_->run_step(std::span(&key, 1), [&] {
        for (int i = 0; i < 2; ++i) backend_->upload(host[i].view(), device[i].view());
        for (int i = 0; i < 2; ++i) backend_->copy(device[i].view(), copies[i].view());
        for (int i = 0; i < num_downloads; ++i) {
          backend_->download(copies[i].view(), results[i].view());
        }
      });
      for (int i = 0; i < num_downloads; ++i) {
        test::expect_same_bits(test::floats(results[i]), want[i]);
      }
      // The host's memory is free at once.
      for (const Tensor& tensor : host)
        std::memset(tensor.view().data, 0, tensor.view().num_bytes());
      for (int i = 0; i < 2; ++i) {
        const Tensor copied = to_host(copies[i]);
        test::expect_same_bits(test::floats(copied), want[i]);
      }
    }
  }
}

TEST_F(CudaFused, StepsRefuseOtherCopiesThanTheirFirstRun) {
  const Tensor host[2] = {Tensor(DType::kF32, {8}), Tensor(DType::kF32, {8})};
  const Tensor device = zeros({8});
  const std::uint64_t key = 600;
  const auto run = [&](int source) {
    backend_->run_step(std::span(&key, 1),
                       [&] { backend_->upload(host[source].view(), device.view()); });
  };
  run(0);
  EXPECT_THROW(run(1), Error);
  run(0);
  EXPECT_THROW(backend_->run_step(std::array{std::uint64_t{601}},
                                  [&] {
                                    backend_->download(device.view(), host[0].view());
                                    backend_->upload(host[0].view(), device.view());
                                  }),
               Error);
}

}  // namespace
}  // namespace m2
