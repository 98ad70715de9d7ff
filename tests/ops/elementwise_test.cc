// The operations that move or scale values: exact on every backend.
#include <gtest/gtest.h>

#include "ops/embedding.h"
#include "ops/kv_append.h"
#include "ops/op_cases.h"
#include "ops/reference_backend.h"
#include "ops/uniform_noise.h"

namespace m2 {
namespace {

using test::Random;

class ElementwiseTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  ElementwiseTest() : backend_(GetParam().num_threads, GetParam().target) {}

  CpuBackend backend_;
  ReferenceBackend plain_;
};

TEST_P(ElementwiseTest, EmbeddingTakesRows) {
  for (const DType dtype : test::kWeightTypes) {
    Random random(2);
    const test::StoredWeight weight(dtype, 130, 150, random);
    for (const auto& ids : {std::vector<std::int32_t>{}, {129}, {3, 0, 129, 3}}) {
      const auto count = static_cast<std::int64_t>(ids.size());
      const auto all = test::decode(weight.view());
      std::vector<float> expected;
      for (const auto id : ids) {
        for (std::size_t i = 0; i < 150; ++i) {
          expected.push_back(static_cast<float>(all[static_cast<std::size_t>(id) * 150 + i]));
        }
      }
      for (Backend* tested : {static_cast<Backend*>(&backend_), static_cast<Backend*>(&plain_)}) {
        const Tensor output(DType::kF32, {count, 150});
        tested->embedding(
            {.token_ids = test::view_of(ids), .weight = weight.view(), .output = output.view()});
        test::expect_same_bits(test::floats(output), expected);
      }
    }
  }
}

TEST_P(ElementwiseTest, KvAppendWritesItsSlotsOnly) {
  constexpr std::int64_t kBlocks = 5;
  constexpr std::int64_t kHeads = 3;
  constexpr std::int64_t kBlockSize = 4;
  constexpr std::int64_t kDim = 7;
  const std::vector<std::int64_t> slots = {13, 0, 19, 4};
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kBF16, KvFormat::kF8E4M3}) {
    const DType dtype = storage_dtype(format);
    for (Backend* tested : {static_cast<Backend*>(&backend_), static_cast<Backend*>(&plain_)}) {
      Random random(3);
      const Tensor k = random.tensor({4, kHeads, kDim});
      const Tensor v = random.tensor({4, kHeads, kDim});
      const Tensor keys(dtype, {kBlocks, kHeads, kBlockSize, kDim});
      const Tensor values(dtype, {kBlocks, kHeads, kBlockSize, kDim});
      tested->kv_append({.k = k.view(),
                         .v = v.view(),
                         .slot_mapping = test::view_of(slots),
                         .cache = {keys.view(), values.view(), format}});
      for (std::int64_t i = 0; i < kBlocks * kHeads * kBlockSize * kDim; ++i) {
        const std::int64_t slot =
            i / (kHeads * kBlockSize * kDim) * kBlockSize + i / kDim % kBlockSize;
        const std::int64_t head = i / (kBlockSize * kDim) % kHeads;
        const auto token = std::find(slots.begin(), slots.end(), slot) - slots.begin();
        const std::int64_t from = (token * kHeads + head) * kDim + i % kDim;
        const bool written = token < 4;
        const auto stored = [&](const Tensor& source) {
          const float value = written ? source.as<float>()[from] : 0.0F;
          if (format == KvFormat::kF8E4M3) return to_float(to_f8e4m3(value));
          return dtype == DType::kF32 ? value : to_float(to_bf16(value));
        };
        ASSERT_EQ(load_float(keys.view().data, dtype, i), stored(k)) << "element " << i;
        ASSERT_EQ(load_float(values.view().data, dtype, i), stored(v)) << "element " << i;
      }
    }
  }
}

TEST_P(ElementwiseTest, KvAppendStoresCodes) {
  constexpr std::int64_t kHeads = 2;
  constexpr std::int64_t kBlockSize = 4;
  const std::vector<std::int64_t> slots = {5, 2};
  for (const std::int64_t dim : {8, 64, 128}) {
    const std::int64_t group_size = int8_group_size(dim);
    EXPECT_EQ(group_size, dim == 8 ? 8 : 64);
    const Shape codes = {2, kHeads, kBlockSize, dim};
    const Shape groups = {2, kHeads, kBlockSize, dim / group_size, 2};
    for (Backend* tested : {static_cast<Backend*>(&backend_), static_cast<Backend*>(&plain_)}) {
      Random random(4);
      const Tensor k = random.tensor({2, kHeads, dim});
      const Tensor v = random.tensor({2, kHeads, dim});
      const Tensor keys(DType::kU8, codes);
      const Tensor values(DType::kU8, codes);
      const Tensor key_groups(DType::kF32, groups);
      const Tensor value_groups(DType::kF32, groups);
      const KvCacheView cache = {.keys = keys.view(),
                                 .values = values.view(),
                                 .format = KvFormat::kInt8,
                                 .quantized = {.keys = keys.view(),
                                               .values = values.view(),
                                               .key_groups = key_groups.view(),
                                               .value_groups = value_groups.view(),
                                               .bits = 8,
                                               .group_size = group_size}};
      tested->kv_append({k.view(), v.view(), test::view_of(slots), cache});
      for (std::size_t token = 0; token < slots.size(); ++token) {
        for (std::int64_t head = 0; head < kHeads; ++head) {
          const std::int64_t from = (static_cast<std::int64_t>(token) * kHeads + head) * dim;
          const CacheVector at = {slots[token] / kBlockSize, head, slots[token] % kBlockSize};
          for (const auto& [part, source] : {std::pair(KvPart::kKeys, &k), {KvPart::kValues, &v}}) {
            const std::span exact(source->as<float>() + from, static_cast<std::size_t>(dim));
            std::vector<float> stored(exact.size());
            load_vector(cache, part, at, stored);
            const auto [low, high] = std::ranges::minmax(exact);
            for (std::size_t i = 0; i < stored.size(); ++i) {
              EXPECT_NEAR(stored[i], exact[i], (high - low) / 255 * 0.51F) << dim << ", " << i;
            }
          }
        }
      }
      const auto* all = keys.as<std::uint8_t>();
      EXPECT_TRUE(std::all_of(all, all + 2 * dim, [](auto code) { return code == 0; }))
          << "slots 0 and 1 are not written";
    }
  }
}

TEST_P(ElementwiseTest, UniformNoiseIsKeyedByElement) {
  for (const std::int64_t size : {0, 1, 3, 4097, 20001}) {
    Random random(5);
    const Tensor values = random.tensor({size, 1});
    const Tensor plain = Tensor::copy_of(values.view());
    const UniformNoiseArgs args = {.values = values.view(), .jitter = 0.25F, .seed = 9};
    std::vector<float> expected;
    for (std::int64_t i = 0; i < size; ++i) {
      const float factor = noise_factor(args, i);
      ASSERT_TRUE(factor >= 0.75F && factor < 1.25F) << factor;
      expected.push_back(values.as<float>()[i] * factor);
    }
    backend_.uniform_noise(args);
    test::expect_same_bits(test::floats(values), expected);
    plain_.uniform_noise({.values = plain.view(), .jitter = 0.25F, .seed = 9});
    test::expect_same_bits(test::floats(plain), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ElementwiseTest, testing::ValuesIn(test::backend_cases()));

TEST(UniformNoise, FillsItsIntervalEvenly) {
  const UniformNoiseArgs args = {.jitter = 0.1F, .seed = 3};
  constexpr int kDraws = 100000;
  std::vector<int> bins(20);
  for (int i = 0; i < kDraws; ++i) {
    const double unit = (double{noise_factor(args, i)} - 0.9) / 0.2;
    ++bins[static_cast<std::size_t>(std::clamp(unit, 0.0, 0.999) * 20)];
  }
  // Five standard deviations of a bin's count.
  for (const int count : bins) EXPECT_NEAR(count, kDraws / 20, 5 * std::sqrt(kDraws * 0.05 * 0.95));
  EXPECT_NE(noise_factor(args, 7), noise_factor({.jitter = 0.1F, .seed = 4}, 7));
}

TEST(ElementwiseContract, NamesWhatDoesNotMatch) {
  Random random(4);
  const test::StoredWeight weight(DType::kF32, 10, 4, random);
  const Tensor output(DType::kF32, {1, 4});
  const std::vector<std::int32_t> ids = {1, 2};
  test::expect_contract_error(
      [&] {
        check(EmbeddingArgs{test::view_of(ids), weight.view(), output.view()});
      },
      {"embedding: output [1, 4] does not match 2 token_ids and weight [10, 4]"});
  const Tensor kv(DType::kF32, {1, 2, 4});
  const Tensor cache(DType::kF32, {3, 2, 8, 4});
  const std::vector<std::int64_t> slots = {3, 4};
  KvAppendArgs args = {kv.view(), kv.view(), test::view_of(slots), {cache.view(), cache.view()}};
  test::expect_contract_error([&] { check(args); },
                              {"kv_append: slot_mapping [2] does not match k [1, 2, 4]"});
  const Tensor narrow(DType::kF32, {3, 2, 8, 3});
  args.cache = {narrow.view(), narrow.view()};
  test::expect_contract_error([&] { check(args); },
                              {"kv_append: keys [3, 2, 8, 3] does not match k [1, 2, 4]"});
}

TEST(HostMemory, CopiesAndPlaces) {
  CpuBackend backend(1);
  Random random(6);
  const Tensor host = random.tensor({3, 5});
  const Tensor device = backend.allocate(DType::kF32, {3, 5});
  const Tensor second = backend.allocate(DType::kF32, {3, 5});
  const Tensor back(DType::kF32, {3, 5});
  backend.upload(host.view(), device.view());
  backend.copy(device.view(), second.view());
  backend.download(second.view(), back.view());
  test::expect_same_bits(test::floats(back), test::floats(host));
  Owners owners;
  EXPECT_TRUE(backend.host_accessible());
  EXPECT_EQ(backend.place(host.view(), owners).data, host.view().data);
  EXPECT_TRUE(owners.empty());
  const Tensor other(DType::kF32, {5, 3});
  test::expect_contract_error([&] { backend.copy(device.view(), other.view()); },
                              {"copy: to [5, 3] does not match from [3, 5]"});
}

}  // namespace
}  // namespace m2
