// The operations that move or add values: exact on every backend.
#include <gtest/gtest.h>

#include "ops/add.h"
#include "ops/embedding.h"
#include "ops/kv_append.h"
#include "ops/op_cases.h"
#include "ops/reference_backend.h"

namespace m2 {
namespace {

using test::Random;

class ElementwiseTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  ElementwiseTest() : backend_(GetParam().num_threads, GetParam().target) {}

  CpuBackend backend_;
  ReferenceBackend plain_;
};

TEST_P(ElementwiseTest, AddIsExact) {
  for (const std::int64_t size : {0, 1, 17, 16384, 70001}) {
    Random random(1);
    const Tensor input = random.tensor({size, 1});
    const Tensor output = random.tensor({size, 1});
    std::vector<float> expected;
    for (std::int64_t i = 0; i < size; ++i) {
      expected.push_back(output.as<float>()[i] + input.as<float>()[i]);
    }
    backend_.add({.input = input.view(), .output = output.view()});
    test::expect_same_bits(test::floats(output), expected);
  }
}

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
        tested->embedding({.token_ids = ids, .weight = weight.view(), .output = output.view()});
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
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (Backend* tested : {static_cast<Backend*>(&backend_), static_cast<Backend*>(&plain_)}) {
      Random random(3);
      const Tensor k = random.tensor({4, kHeads, kDim});
      const Tensor v = random.tensor({4, kHeads, kDim});
      const Tensor keys(dtype, {kBlocks, kHeads, kBlockSize, kDim});
      const Tensor values(dtype, {kBlocks, kHeads, kBlockSize, kDim});
      tested->kv_append({.k = k.view(),
                         .v = v.view(),
                         .slot_mapping = slots,
                         .key_cache = keys.view(),
                         .value_cache = values.view()});
      for (std::int64_t i = 0; i < kBlocks * kHeads * kBlockSize * kDim; ++i) {
        const std::int64_t slot =
            i / (kHeads * kBlockSize * kDim) * kBlockSize + i / kDim % kBlockSize;
        const std::int64_t head = i / (kBlockSize * kDim) % kHeads;
        const auto token = std::find(slots.begin(), slots.end(), slot) - slots.begin();
        const std::int64_t from = (token * kHeads + head) * kDim + i % kDim;
        const bool written = token < 4;
        const auto stored = [&](const Tensor& source) {
          const float value = written ? source.as<float>()[from] : 0.0F;
          return dtype == DType::kF32 ? value : to_float(to_bf16(value));
        };
        ASSERT_EQ(load_float(keys.view().data, dtype, i), stored(k)) << "element " << i;
        ASSERT_EQ(load_float(values.view().data, dtype, i), stored(v)) << "element " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ElementwiseTest, testing::ValuesIn(test::backend_cases()));

TEST(ElementwiseContract, NamesWhatDoesNotMatch) {
  Random random(4);
  const test::StoredWeight weight(DType::kF32, 10, 4, random);
  const Tensor output(DType::kF32, {1, 4});
  for (const std::int32_t id : {-1, 10}) {
    const std::vector<std::int32_t> ids = {id};
    test::expect_contract_error(
        [&] {
          check(EmbeddingArgs{.token_ids = ids, .weight = weight.view(), .output = output.view()});
        },
        {"embedding: token id", "vocabulary of 10"});
  }
  const Tensor other(DType::kF32, {4, 1});
  test::expect_contract_error(
      [&] { check(AddArgs{.input = output.view(), .output = other.view()}); },
      {"add: output [4, 1] does not match input [1, 4]"});
  const Tensor kv(DType::kF32, {1, 2, 4});
  const Tensor cache(DType::kF32, {3, 2, 8, 4});
  const std::vector<std::int64_t> slots = {24};
  test::expect_contract_error(
      [&] {
        check(KvAppendArgs{.k = kv.view(),
                           .v = kv.view(),
                           .slot_mapping = slots,
                           .key_cache = cache.view(),
                           .value_cache = cache.view()});
      },
      {"kv_append: slot 24 is outside key_cache [3, 2, 8, 4]"});
}

}  // namespace
}  // namespace m2
