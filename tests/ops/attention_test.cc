#include "ops/attention.h"

#include <gtest/gtest.h>

#include "ops/attention_oracle.h"
#include "ops/reference_backend.h"

namespace m2 {
namespace {

using test::AttentionBatch;
using test::AttentionCase;
using test::Masks;
using test::Ranges;
using test::Storage;
using test::view_of;

const std::vector<AttentionCase>& cases() {
  static const std::vector<AttentionCase> kCases = {
      {"no sequence", {}},
      {"one token", {{1, 1}}},
      {"an idle sequence alone", {{0, 5}}},
      {"nothing in the cache", {{0, 0}, {1, 1}}},
      {"prefill", {{5, 5}}, 12, 2, 128, 16},
      {"model's heads", {{3, 40}, {1, 70}}, 48, 8, 128, 32},
      {"a chunk and one past it", {{1, 255}, {1, 256}, {1, 257}, {2, 513}}, 6, 1, 32, 16},
      {"long decode", {{1, 1500}}, 6, 1, 64, 16},
      {"chunked prefill", {{70, 300}}, 6, 2, 32, 8},
      {"padded rows", {{7, 281}, {7, 281}, {7, 281}}, 4, 2, 24, 8},
      {"ragged with an idle sequence", {{4, 9}, {0, 3}, {1, 20}, {9, 9}}, 4, 4, 24, 4},
      {"odd head_dim", {{3, 30}, {1, 5}}, 3, 1, 37, 3},
      {"large group", {{2, 21}}, 50, 1, 8, 16},
  };
  return kCases;
}

constexpr Ranges kRanges[] = {Ranges::kCausal, Ranges::kPacked, Ranges::kAll, Ranges::kRandom};
constexpr Masks kMasks[] = {Masks::kNone, Masks::kPadding, Masks::kBool, Masks::kBias,
                            Masks::kBiasOfHeads};

// Whether a combination is worth its time: the storage changes nothing about the ranges, and large
// cases are there for chunks and tiles.
bool worth_testing(const AttentionCase& c, Storage storage, Ranges ranges, Masks masks) {
  if (masks > Masks::kPadding && !c.rectangular()) return false;
  if (storage == Storage::kCodes4 && c.head_dim % 2 != 0) return false;
  if (storage != Storage::kF32) return ranges == Ranges::kCausal && masks <= Masks::kPadding;
  std::int64_t pairs = 0;
  for (const auto& sequence : c.sequences) {
    pairs += std::int64_t{sequence.num_queries} * sequence.context_len;
  }
  return pairs < 7000 || ranges == Ranges::kCausal || masks == Masks::kNone;
}

// Calls body(case, batch) for every combination.
template <class Body>
void for_each_batch(unsigned seed, const Body& body) {
  for (const AttentionCase& c : cases()) {
    for (const Storage storage :
         {Storage::kF32, Storage::kBF16, Storage::kF8, Storage::kCodes8, Storage::kCodes4}) {
      for (const Ranges ranges : kRanges) {
        for (const Masks masks : kMasks) {
          if (!worth_testing(c, storage, ranges, masks)) continue;
          SCOPED_TRACE(testing::Message()
                       << c.name << ", storage " << static_cast<int>(storage) << ", ranges "
                       << static_cast<int>(ranges) << ", masks " << static_cast<int>(masks));
          AttentionBatch batch(c, storage, seed);
          batch.set_ranges(ranges);
          batch.set_masks(masks);
          body(c, batch);
        }
      }
    }
  }
}

class AttentionTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  AttentionTest() : backend_(GetParam().num_threads, GetParam().target) {}
  CpuBackend backend_;
};

TEST_P(AttentionTest, MatchesFloat64) {
  ReferenceBackend plain;
  for_each_batch(21, [&](const AttentionCase&, const AttentionBatch& batch) {
    for (const auto mode : {FullyMasked::kZero, FullyMasked::kUniform}) {
      const bool unmasked = !batch.args().key_mask.present() && !batch.mask.present();
      if (mode == FullyMasked::kUniform && unmasked) continue;
      AttentionArgs args = batch.args();
      args.fully_masked = mode;
      const auto expected = test::expected_attention(batch, args, GetParam().target);
      backend_.attention(args);
      test::expect_close(test::floats(batch.output), expected.values, expected.tolerance);
      if (GetParam().num_threads != 1) continue;  // the plain body is the same for all
      plain.attention(args);
      test::expect_close(test::floats(batch.output), expected.values, expected.tolerance);
    }
  });
}

// The 4-D mask of one query, [1, heads or 1, 1, C].
Tensor mask_of_query(const Tensor& mask, std::int64_t sequence, std::int64_t query) {
  if (!mask.present()) return {};
  const Shape& from = mask.shape();
  Tensor row(mask.view().dtype, {1, from[1], 1, from[3]});
  const std::size_t bytes = row.view().num_bytes() / static_cast<std::size_t>(from[1]);
  const std::int64_t s = from[0] == 1 ? 0 : sequence;
  for (std::int64_t head = 0; head < from[1]; ++head) {
    const auto source = static_cast<std::size_t>((s * from[1] + head) * from[2] + query);
    std::memcpy(static_cast<char*>(row.view().data) + static_cast<std::size_t>(head) * bytes,
                static_cast<const char*>(mask.view().data) + source * bytes, bytes);
  }
  return row;
}

// Each query alone, on one thread, its cache cut behind it where no mask covers all of it, gives
// the bits that it has in the batch.
TEST_P(AttentionTest, QueriesAreIndependent) {
  CpuBackend single_backend(1, GetParam().target);
  for_each_batch(23, [&](const AttentionCase& c, const AttentionBatch& batch) {
    backend_.attention(batch.args());
    const Tensor alone(DType::kF32, batch.output.shape());
    const std::int64_t width = c.num_heads * c.head_dim;
    for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
      for (std::int32_t token = batch.cu_seqlens[s]; token < batch.cu_seqlens[s + 1]; ++token) {
        const std::vector<std::int32_t> cu_seqlens = {0, 1};
        const auto t = static_cast<std::size_t>(token);
        std::vector<std::int32_t> lens = {batch.mask.present() ? batch.context_lens[s]
                                                               : batch.key_end[t]};
        const auto sequence = static_cast<std::int64_t>(s);
        const Tensor mask = mask_of_query(batch.mask, sequence, token - batch.cu_seqlens[s]);
        AttentionArgs args = batch.args();
        args.cu_seqlens = view_of(cu_seqlens);
        args.context_lens = view_of(lens);
        args.max_context_len = lens[0];
        args.max_queries = 1;
        args.block_tables = {args.block_tables.as<std::int32_t>() + sequence * batch.max_blocks,
                             DType::kI32,
                             {1, batch.max_blocks}};
        args.key_begin = {args.key_begin.as<std::int32_t>() + token, DType::kI32, {1}};
        args.key_end = {args.key_end.as<std::int32_t>() + token, DType::kI32, {1}};
        if (args.key_mask.present()) {
          const std::int64_t stride = args.key_mask.shape[1];
          args.key_mask = {
              args.key_mask.as<std::uint8_t>() + sequence * stride, DType::kU8, {1, stride}};
        }
        args.mask = mask.view();
        const Shape shape = {1, c.num_heads, c.head_dim};
        args.q = {batch.q.as<float>() + token * width, DType::kF32, shape};
        args.output = {alone.as<float>() + token * width, DType::kF32, shape};
        single_backend.attention(args);
      }
    }
    test::expect_same_bits(test::floats(batch.output), test::floats(alone));
  });
}

TEST_P(AttentionTest, ProbabilitiesSumToOneAndGiveTheOutput) {
  const AttentionCase c{"", {{3, 7}, {3, 7}}, 4, 2, 16, 4};
  const AttentionBatch batch(c, Storage::kF32, 24);
  const Tensor probabilities(DType::kF32, {2, 4, 3, 7});
  AttentionArgs args = batch.args();
  args.probabilities = probabilities.view();
  backend_.attention(args);
  for (std::int64_t row = 0; row < 24; ++row) {
    const std::int64_t s = row / 12;
    const std::int64_t head = row / 3 % 4;
    const std::int64_t query = row % 3;
    const float* p = probabilities.as<float>() + row * 7;
    EXPECT_NEAR(std::accumulate(p, p + 7, 0.0), 1.0, 8 * test::kUnitRoundoff);
    for (std::int64_t key = 4 + query + 1; key < 7; ++key) EXPECT_EQ(p[key], 0.0F);
    for (std::int64_t dim = 0; dim < 16; ++dim) {
      double value = 0.0;
      for (std::int64_t key = 0; key <= 4 + query; ++key) {
        const auto vector = batch.load(KvPart::kValues, static_cast<std::size_t>(s), key, head / 2);
        value += double{p[key]} * double{vector.values[static_cast<std::size_t>(dim)]};
      }
      const float got = batch.output.as<float>()[((s * 3 + query) * 4 + head) * 16 + dim];
      EXPECT_NEAR(got, value, 7 * 4 * test::kUnitRoundoff * 4.0);
    }
  }
}

TEST_P(AttentionTest, DropoutDropsItsShareAndScalesTheRest) {
  const AttentionCase c{"", {{40, 40}, {40, 40}}, 4, 2, 16, 16};
  AttentionBatch batch(c, Storage::kF32, 27);
  batch.set_ranges(Ranges::kAll);
  const Tensor kept(DType::kF32, {2, 4, 40, 40});
  const Tensor some(DType::kF32, kept.shape());
  AttentionArgs args = batch.args();
  args.probabilities = kept.view();
  backend_.attention(args);
  args.probabilities = some.view();
  args.dropout = 0.3F;
  args.dropout_seed = 5;
  backend_.attention(args);
  std::int64_t num_dropped = 0;
  for (std::int64_t i = 0; i < 2 * 4 * 40 * 40; ++i) {
    const bool gone = dropped(args, i / 6400, i / 1600 % 4, i / 40 % 40, i % 40);
    num_dropped += gone ? 1 : 0;
    ASSERT_EQ(some.as<float>()[i], gone ? 0.0F : kept.as<float>()[i] / 0.7F) << i;
  }
  EXPECT_NEAR(static_cast<double>(num_dropped) / 12800, 0.3, 0.02);  // five standard deviations
  const Tensor with_probabilities = Tensor::copy_of(batch.output.view());
  args.probabilities = {};
  backend_.attention(args);
  test::expect_same_bits(test::floats(batch.output), test::floats(with_probabilities));
  args.dropout = 1.0F;
  backend_.attention(args);
  for (const float value : test::floats(batch.output)) ASSERT_EQ(value, 0.0F);
}

// The error that the codes add: half a step in every element of the keys moves the scores, these
// the probabilities by a factor e^(2 delta) at most; half a step of the values comes on top.
TEST_P(AttentionTest, CodesCostNoMoreThanTheirSteps) {
  const AttentionCase c{"", {{3, 300}, {1, 40}}, 4, 2, 64, 16};
  const auto largest_of = [](const Tensor& tensor, std::size_t step) {
    float largest = 0.0F;  // of what is no NaN
    const auto values = test::floats(tensor);
    for (std::size_t i = 0; i < values.size(); i += step) {
      if (std::fabs(values[i]) > largest) largest = std::fabs(values[i]);
    }
    return double{largest};
  };
  for (const Storage storage : {Storage::kCodes8, Storage::kCodes4}) {
    const AttentionBatch exact(c, Storage::kF32, 28);
    const AttentionBatch coded(c, storage, 28);
    backend_.attention(exact.args());
    backend_.attention(coded.args());
    const double key_step = largest_of(coded.key_groups, 2);
    const double value_step = largest_of(coded.value_groups, 2);
    const double value_size = largest_of(exact.values, 1) + value_step;
    double worst = 0.0;
    for (std::int64_t i = 0; i < exact.output.shape().num_elements(); ++i) {
      double q_sum = 0.0;
      for (std::int64_t dim = 0; dim < 64; ++dim) {
        q_sum += std::fabs(double{exact.q.as<float>()[i / 64 * 64 + dim]});
      }
      const double delta = q_sum * key_step / 2.0 * double{exact.args().scale};
      const double bound = (std::exp(2.0 * delta) - 1.0) * value_size + value_step / 2.0 + 1e-5;
      const double error =
          std::fabs(double{exact.output.as<float>()[i]} - double{coded.output.as<float>()[i]});
      worst = std::max(worst, error / bound);
    }
    EXPECT_LE(worst, 1.0);
    EXPECT_GT(worst, 1e-4);  // the bound is of the error's size
  }
}

// A damaged activation must show, not turn into zeros.
TEST_P(AttentionTest, NanQueryGivesNan) {
  const AttentionCase c{"", {{2, 300}}, 2, 1, 16, 16};
  const AttentionBatch batch(c, Storage::kF32, 25);
  batch.q.as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  backend_.attention(batch.args());
  EXPECT_TRUE(std::isnan(batch.output.as<float>()[0]));
  EXPECT_FALSE(std::isnan(batch.output.as<float>()[16]));
  EXPECT_FALSE(std::isnan(batch.output.as<float>()[32]));
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, testing::ValuesIn(test::backend_cases()));

TEST(AttentionContract, NamesWhatDoesNotMatch) {
  const AttentionCase c{"", {{2, 20}}, 4, 2, 16, 4};
  const AttentionBatch batch(c, Storage::kF32, 26);
  const auto expect_error = [&](const auto& change, const std::string& part) {
    AttentionArgs args = batch.args();
    change(args);
    test::expect_contract_error([&] { check(args); }, {part});
  };
  const std::vector<std::int32_t> numbers(8);
  const std::vector<std::uint8_t> bytes(10);
  const Tensor mask(DType::kF32, {1, 1, 2, 19});
  const Tensor probabilities(DType::kF32, {1, 4, 2, 21});
  expect_error([&](AttentionArgs& args) { args.cu_seqlens = view_of(numbers, {3}); },
               "attention: cu_seqlens [3] does not match context_lens [1]");
  expect_error([&](AttentionArgs& args) { args.key_begin = view_of(numbers, {3}); },
               "attention: key_begin [3] does not match q [2, 4, 16]");
  expect_error([&](AttentionArgs& args) { args.key_end = view_of(numbers, {1}); },
               "attention: key_end [1] does not match q [2, 4, 16]");
  expect_error(
      [&](AttentionArgs& args) {
        args.block_tables = view_of(numbers, {2, 4});
      },
      "attention: block_tables [2, 4] does not match context_lens [1]");
  expect_error([&](AttentionArgs& args) { args.max_context_len = 100; },
               "context of 100 exceeds 6 blocks");
  expect_error([&](AttentionArgs& args) { args.max_queries = 1; }, "1 sequences of 1 queries");
  expect_error(
      [&](AttentionArgs& args) {
        args.key_mask = view_of(bytes, {1, 10});
      },
      "key_mask [1, 10] does not cover");
  expect_error([&](AttentionArgs& args) { args.mask = mask.view(); },
               "mask [1, 1, 2, 19] does not match");
  expect_error([&](AttentionArgs& args) { args.probabilities = probabilities.view(); },
               "probabilities [1, 4, 2, 21] does not match");
  expect_error([&](AttentionArgs& args) { args.dropout = 1.5F; }, "dropout 1.5");
  expect_error([&](AttentionArgs& args) { args.cache.format = KvFormat::kBF16; },
               "keys must be BF16, got F32");
  const Tensor half(DType::kF16, batch.keys.shape());
  expect_error([&](AttentionArgs& args) { args.cache.keys = half.view(); },
               "keys must be F32, got F16");
  const AttentionBatch coded(c, Storage::kCodes8, 26);
  expect_error(
      [&](AttentionArgs& args) {
        args.cache.quantized = coded.cache().quantized;
        args.cache.quantized.group_size = 5;
      },
      "attention: quantised blocks of 8 bits in groups of 5 do not fit keys");
  expect_error(
      [&](AttentionArgs& args) {
        args.cache.quantized = coded.cache().quantized;
        args.cache.quantized.group_size = 4;
      },
      "attention: key_groups");
}

}  // namespace
}  // namespace m2
