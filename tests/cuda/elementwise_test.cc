// The operations that work token by token: embedding, norms, rotation, cache writes, noise.
#include <cstring>

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

class CudaElementwise : public test::DeviceTest {
 protected:
  // Both are float32 formulas in another order: a few roundings relative to the largest element.
  void expect_near(const Tensor& device, const Tensor& host) {
    const Tensor got = to_host(device);
    double norm = 0.0;
    for (const float value : test::floats(host)) norm = std::fmax(norm, std::fabs(value));
    for (std::int64_t i = 0; i < host.view().num_elements(); ++i) {
      ASSERT_NEAR(got.as<float>()[i], host.as<float>()[i], norm * 0x1p-20) << "element " << i;
    }
  }
};

TEST_F(CudaElementwise, Embedding) {
  for (const DType dtype : test::kWeightTypes) {
    for (const std::int64_t hidden_size : {1, 33, 300}) {
      Random random(1);
      const StoredWeight weight(dtype, 50, hidden_size, random, 16, 100);
      const Tensor ids = test::tensor_of<std::int32_t>({49, 0, 7, 7}, {4});
      const Tensor expected(DType::kF32, {4, hidden_size});
      const Tensor output = backend_->allocate(DType::kF32, {4, hidden_size});
      reference::embedding({ids.view(), weight.view(), expected.view()});
      backend_->embedding({to_device(ids.view()).view(), place(weight.view()), output.view()});
      test::expect_same_bits(test::floats(to_host(output)), test::floats(expected));
    }
  }
}

TEST_F(CudaElementwise, RmsNorm) {
  for (const Shape& shape : {Shape{0, 8}, Shape{1, 1}, Shape{3, 257}, Shape{5, 3072}}) {
    Random random(2);
    const Tensor input = random.tensor(shape, 3.0F);
    const Tensor weight = random.tensor({shape[1]});
    const Tensor expected(DType::kF32, shape);
    const Tensor device = to_device(input.view());
    reference::rms_norm({input.view(), weight.view(), 1e-6F, expected.view()});
    backend_->rms_norm({device.view(), to_device(weight.view()).view(), 1e-6F, device.view()});
    expect_near(device, expected);
  }
}

TEST_F(CudaElementwise, QkNormRope) {
  struct Case {
    std::int64_t num_tokens, num_heads, num_kv_heads, head_dim, rotary_dim;
  };
  for (const Case& c : {Case{0, 2, 1, 8, 4}, Case{1, 48, 8, 128, 64}, Case{7, 3, 1, 20, 20},
                        Case{5, 6, 2, 128, 128}, Case{3, 70, 1, 128, 64}, Case{2, 3, 3, 128, 24},
                        Case{2, 4, 4, 6, 2}, Case{65, 48, 8, 128, 64}, Case{70, 64, 1, 128, 128}}) {
    Random random(3);
    const Tensor q = random.tensor({c.num_tokens, c.num_heads * c.head_dim});
    const Tensor k = random.tensor({c.num_tokens, c.num_kv_heads * c.head_dim});
    const Tensor q_weight = random.tensor({q.shape()[1]});
    const Tensor k_weight = random.tensor({k.shape()[1]});
    const Tensor cos = random.tensor({c.num_tokens, c.rotary_dim / 2});
    const Tensor sin = random.tensor({c.num_tokens, c.rotary_dim / 2});
    const Tensor device_q = to_device(q.view());
    const Tensor device_k = to_device(k.view());
    backend_->qk_norm_rope({device_q.view(), device_k.view(), to_device(q_weight.view()).view(),
                            to_device(k_weight.view()).view(), 1e-6F, to_device(cos.view()).view(),
                            to_device(sin.view()).view(), c.head_dim});
    reference::qk_norm_rope({q.view(), k.view(), q_weight.view(), k_weight.view(), 1e-6F,
                             cos.view(), sin.view(), c.head_dim});
    expect_near(device_q, q);
    expect_near(device_k, k);
  }
}

TEST_F(CudaElementwise, KvAppend) {
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kBF16, KvFormat::kF8E4M3}) {
    Random random(4);
    const Shape shape = {5, 3, 4, 18};
    const Tensor k = random.tensor({6, 3, 18});
    const Tensor v = random.tensor({6, 3, 18});
    const Tensor slots = test::tensor_of<std::int64_t>({19, 0, 7, 8, 3, 12}, {6});
    const Tensor keys(storage_dtype(format), shape);
    const Tensor values(storage_dtype(format), shape);
    const Tensor device_keys = to_device(keys.view());
    const Tensor device_values = to_device(values.view());
    backend_->kv_append(
        {to_device(k.view()).view(),
         to_device(v.view()).view(),
         to_device(slots.view()).view(),
         {.keys = device_keys.view(), .values = device_values.view(), .format = format}});
    reference::kv_append({k.view(),
                          v.view(),
                          slots.view(),
                          {.keys = keys.view(), .values = values.view(), .format = format}});
    const Tensor got_keys = to_host(device_keys);
    const Tensor got_values = to_host(device_values);
    EXPECT_EQ(std::memcmp(got_keys.view().data, keys.view().data, keys.view().num_bytes()), 0);
    EXPECT_EQ(std::memcmp(got_values.view().data, values.view().data, values.view().num_bytes()),
              0);
  }
}

TEST_F(CudaElementwise, UniformNoiseHasTheBitsOfTheReference) {
  for (const std::int64_t count : {0, 1, 5, 4099}) {
    const Tensor values = Random(5).tensor({count});
    const Tensor device = to_device(values.view());
    backend_->uniform_noise({device.view(), 0.1F, 1234567890123ULL});
    reference::uniform_noise({values.view(), 0.1F, 1234567890123ULL});
    test::expect_same_bits(test::floats(to_host(device)), test::floats(values));
  }
}

TEST_F(CudaElementwise, RandomFill) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
    for (const std::int64_t num_bytes : {1, 16, 1000003}) {
      const RandomPattern pattern = random_pattern(dtype, 0.1F);
      const Tensor expected(DType::kU8, {num_bytes});
      const Tensor output = backend_->allocate(DType::kU8, {num_bytes});
      reference::random_fill({expected.view().data, num_bytes, pattern, 7});
      backend_->random_fill({output.view().data, num_bytes, pattern, 7});
      const Tensor got = to_host(output);
      ASSERT_EQ(std::memcmp(got.view().data, expected.view().data, expected.view().num_bytes()), 0)
          << dtype_name(dtype) << " of " << num_bytes << " bytes";
    }
  }
}

}  // namespace
}  // namespace m2
