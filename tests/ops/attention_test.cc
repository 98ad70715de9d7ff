#include "ops/attention.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "ops/op_cases.h"
#include "ops/reference_backend.h"

namespace m2 {
namespace {

using test::Random;

struct Sequence {
  std::int32_t num_queries;
  std::int32_t context_len;
};

struct Case {
  std::string name;
  std::vector<Sequence> sequences;
  std::int64_t num_heads = 4;
  std::int64_t num_kv_heads = 2;
  std::int64_t head_dim = 16;
  std::int64_t block_size = 16;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"no sequence", {}},
      {"one token", {{1, 1}}},
      {"prefill", {{5, 5}}, 12, 2, 128, 16},
      {"model's heads", {{3, 40}, {1, 70}}, 48, 8, 128, 32},
      {"a chunk and one past it", {{1, 255}, {1, 256}, {1, 257}, {2, 513}}, 6, 1, 32, 16},
      {"long decode", {{1, 1500}}, 6, 1, 64, 16},
      {"chunked prefill", {{70, 300}}, 6, 2, 32, 8},
      {"ragged with an idle sequence", {{4, 9}, {0, 3}, {1, 20}, {9, 9}}, 4, 4, 24, 4},
      {"odd head_dim", {{3, 30}, {1, 5}}, 3, 1, 37, 3},
      {"large group", {{2, 21}}, 50, 1, 8, 16},
  };
  return kCases;
}

// A batch over a cache whose blocks lie in random order; what no key owns is NaN.
struct Batch {
  Batch(const Case& c, DType dtype, unsigned seed) {
    Random random(seed);
    cu_seqlens.push_back(0);
    std::int64_t num_blocks = 0;
    for (const auto& sequence : c.sequences) {
      cu_seqlens.push_back(cu_seqlens.back() + sequence.num_queries);
      context_lens.push_back(sequence.context_len);
      const std::int64_t blocks = (sequence.context_len + c.block_size - 1) / c.block_size;
      num_blocks += blocks;
      max_blocks = std::max(max_blocks, blocks + 1);
      mask_stride = std::max<std::int64_t>(mask_stride, sequence.context_len + 3);
    }
    q = random.tensor({cu_seqlens.back(), c.num_heads, c.head_dim});
    output = Tensor(DType::kF32, q.shape());
    keys = Tensor(dtype, {num_blocks + 1, c.num_kv_heads, c.block_size, c.head_dim});
    values = Tensor(dtype, keys.shape());
    for (std::int64_t i = 0; i < keys.shape().num_elements(); ++i) {
      put(keys, i, std::numeric_limits<float>::quiet_NaN());
      put(values, i, std::numeric_limits<float>::quiet_NaN());
    }
    std::vector<std::int32_t> order(static_cast<std::size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 1);
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1],
                order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    }
    block_tables.assign(c.sequences.size() * static_cast<std::size_t>(max_blocks), -1);
    std::size_t next = 0;
    for (std::size_t s = 0; s < c.sequences.size(); ++s) {
      for (std::int32_t key = 0; key < context_lens[s]; ++key) {
        const auto entry =
            s * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(key / c.block_size);
        if (key % c.block_size == 0) block_tables[entry] = order[next++];
        for (std::int64_t head = 0; head < c.num_kv_heads; ++head) {
          for (std::int64_t dim = 0; dim < c.head_dim; ++dim) {
            put(keys, index(s, key, head) + dim, random.normal());
            put(values, index(s, key, head) + dim, random.normal());
          }
        }
      }
    }
  }

  static void put(const Tensor& cache, std::int64_t i, float value) {
    if (cache.view().dtype == DType::kF32) {
      cache.as<float>()[i] = value;
    } else {
      cache.as<bf16>()[i] = to_bf16(value);
    }
  }

  [[nodiscard]] std::int64_t index(std::size_t s, std::int64_t key, std::int64_t head) const {
    const Shape& shape = keys.shape();
    const auto entry =
        s * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(key / shape[2]);
    return ((block_tables[entry] * shape[1] + head) * shape[2] + key % shape[2]) * shape[3];
  }

  void mask(Random& random) {
    key_mask.assign(context_lens.size() * static_cast<std::size_t>(mask_stride), 1);
    for (std::size_t s = 0; s < context_lens.size(); ++s) {
      // A padded start, so that the first queries of a prefill see nothing, and some holes.
      const std::int64_t padding = context_lens[s] / 3;
      for (std::int64_t key = 0; key < mask_stride; ++key) {
        const bool hidden = key < padding || random.below(5) == 0;
        if (hidden)
          key_mask[s * static_cast<std::size_t>(mask_stride) + static_cast<std::size_t>(key)] = 0;
      }
    }
  }

  [[nodiscard]] bool visible(std::size_t s, std::int64_t key, std::int64_t position) const {
    if (key > position) return false;
    return key_mask.empty() ||
           key_mask[s * static_cast<std::size_t>(mask_stride) + static_cast<std::size_t>(key)] != 0;
  }

  [[nodiscard]] AttentionArgs args() const {
    return {.q = q.view(),
            .key_cache = keys.view(),
            .value_cache = values.view(),
            .cu_seqlens = cu_seqlens,
            .context_lens = context_lens,
            .block_tables = block_tables,
            .max_blocks = max_blocks,
            .key_mask = key_mask,
            .mask_stride = mask_stride,
            .scale = 1.0F / std::sqrt(static_cast<float>(q.shape()[2])),
            .output = output.view()};
  }

  Tensor q;
  Tensor keys;
  Tensor values;
  Tensor output;
  std::vector<std::int32_t> cu_seqlens;
  std::vector<std::int32_t> context_lens;
  std::vector<std::int32_t> block_tables;
  std::int64_t max_blocks = 0;
  std::vector<std::uint8_t> key_mask;
  std::int64_t mask_stride = 0;
};

struct Expected {
  std::vector<double> values;
  std::vector<double> tolerance;
};

// One query head in float64, with the error that float32 may add: that of the scores goes through
// the softmax twice (numerator and denominator), then sums over the keys.
void expect_head(const Batch& batch, const AttentionArgs& args, std::size_t s, std::int64_t row,
                 std::int64_t position, std::int64_t kv_head, const std::string& target,
                 Expected& out) {
  const std::int64_t head_dim = batch.q.shape()[2];
  const std::int64_t context_len = batch.context_lens[s];
  const DType dtype = batch.keys.view().dtype;
  std::vector<double> scores(static_cast<std::size_t>(context_len), -HUGE_VAL);
  double largest = -HUGE_VAL;
  double score_error = 0.0;
  for (std::int64_t key = 0; key < context_len; ++key) {
    if (!batch.visible(s, key, position)) continue;
    double dot = 0.0;
    double magnitude = 0.0;
    for (std::int64_t dim = 0; dim < head_dim; ++dim) {
      const double product =
          double{batch.q.as<float>()[row * head_dim + dim]} *
          double{load_float(batch.keys.view().data, dtype, batch.index(s, key, kv_head) + dim)};
      dot += product;
      magnitude += std::fabs(product);
    }
    scores[static_cast<std::size_t>(key)] = dot * double{args.scale};
    largest = std::max(largest, dot * double{args.scale});
    score_error = std::max(score_error, (test::dot_roundings(head_dim, target) + 4.0) *
                                            test::kUnitRoundoff * magnitude * double{args.scale});
  }
  const bool masked = largest == -HUGE_VAL;
  const bool uniform = args.fully_masked == FullyMasked::kUniform;
  double sum = 0.0;
  for (double& score : scores) {
    score = !masked ? std::exp(score - largest) : uniform ? 1.0 : 0.0;
    sum += score;
  }
  const double relative =
      2.0 * score_error + (static_cast<double>(context_len) + 32.0) * test::kUnitRoundoff;
  for (std::int64_t dim = 0; dim < head_dim; ++dim) {
    double value = 0.0;
    double magnitude = 0.0;
    for (std::int64_t key = 0; key < context_len; ++key) {
      const double probability = sum == 0.0 ? 0.0 : scores[static_cast<std::size_t>(key)] / sum;
      const double product = probability * double{load_float(batch.values.view().data, dtype,
                                                             batch.index(s, key, kv_head) + dim)};
      value += product;
      magnitude += std::fabs(product);
    }
    out.values.push_back(value);
    out.tolerance.push_back(relative * magnitude);
  }
}

Expected expected_attention(const Batch& batch, const AttentionArgs& args,
                            const std::string& target) {
  const std::int64_t num_heads = batch.q.shape()[1];
  const std::int64_t group = num_heads / batch.keys.shape()[1];
  Expected result;
  for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
    for (std::int32_t token = batch.cu_seqlens[s]; token < batch.cu_seqlens[s + 1]; ++token) {
      const std::int64_t position = batch.context_lens[s] - batch.cu_seqlens[s + 1] + token;
      for (std::int64_t head = 0; head < num_heads; ++head) {
        expect_head(batch, args, s, token * num_heads + head, position, head / group, target,
                    result);
      }
    }
  }
  return result;
}

class AttentionTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  AttentionTest() : backend_(GetParam().num_threads, GetParam().target) {}
  CpuBackend backend_;
};

TEST_P(AttentionTest, MatchesFloat64) {
  ReferenceBackend plain;
  for (const Case& c : cases()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const bool with_mask : {false, true}) {
        for (const auto mode : {FullyMasked::kZero, FullyMasked::kUniform}) {
          SCOPED_TRACE(testing::Message()
                       << c.name << " " << dtype_name(dtype) << (with_mask ? " masked" : ""));
          Batch batch(c, dtype, 21);
          Random random(22);
          if (with_mask) batch.mask(random);
          AttentionArgs args = batch.args();
          args.fully_masked = mode;
          const auto expected = expected_attention(batch, args, GetParam().target);
          backend_.attention(args);
          test::expect_close(test::floats(batch.output), expected.values, expected.tolerance);
          plain.attention(args);
          test::expect_close(test::floats(batch.output), expected.values, expected.tolerance);
        }
      }
    }
  }
}

// Each query alone, its cache cut behind it, gives the bits that it has in the batch.
TEST_P(AttentionTest, QueriesAreIndependent) {
  CpuBackend single_backend(1, GetParam().target);
  for (const Case& c : cases()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(c.name);
      const Batch batch(c, dtype, 23);
      backend_.attention(batch.args());
      const Tensor alone(DType::kF32, batch.output.shape());
      const std::int64_t width = c.num_heads * c.head_dim;
      for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
        for (std::int32_t token = batch.cu_seqlens[s]; token < batch.cu_seqlens[s + 1]; ++token) {
          const std::vector<std::int32_t> cu_seqlens = {0, 1};
          const std::vector<std::int32_t> lens = {batch.context_lens[s] - batch.cu_seqlens[s + 1] +
                                                  token + 1};
          AttentionArgs args = batch.args();
          args.cu_seqlens = cu_seqlens;
          args.context_lens = lens;
          args.block_tables =
              args.block_tables.subspan(s * static_cast<std::size_t>(args.max_blocks));
          args.q = {batch.q.as<float>() + token * width, DType::kF32, {1, c.num_heads, c.head_dim}};
          args.output = {
              alone.as<float>() + token * width, DType::kF32, {1, c.num_heads, c.head_dim}};
          single_backend.attention(args);
        }
      }
      test::expect_same_bits(test::floats(batch.output), test::floats(alone));
    }
  }
}

TEST_P(AttentionTest, ProbabilitiesSumToOneAndGiveTheOutput) {
  const Case c{"", {{3, 7}, {3, 7}}, 4, 2, 16, 4};
  const Batch batch(c, DType::kF32, 24);
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
        value +=
            double{p[key]} *
            double{batch.values
                       .as<float>()[batch.index(static_cast<std::size_t>(s), key, head / 2) + dim]};
      }
      const float got = batch.output.as<float>()[((s * 3 + query) * 4 + head) * 16 + dim];
      EXPECT_NEAR(got, value, 7 * 4 * test::kUnitRoundoff * 4.0);
    }
  }
}

// A damaged activation must show, not turn into zeros.
TEST_P(AttentionTest, NanQueryGivesNan) {
  const Case c{"", {{2, 300}}, 2, 1, 16, 16};
  const Batch batch(c, DType::kF32, 25);
  batch.q.as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  backend_.attention(batch.args());
  EXPECT_TRUE(std::isnan(batch.output.as<float>()[0]));
  EXPECT_FALSE(std::isnan(batch.output.as<float>()[16]));
  EXPECT_FALSE(std::isnan(batch.output.as<float>()[32]));
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, testing::ValuesIn(test::backend_cases()));

TEST(AttentionContract, NamesWhatDoesNotMatch) {
  const Case c{"", {{2, 20}}, 4, 2, 16, 4};
  Batch batch(c, DType::kF32, 26);
  batch.context_lens[0] = 1;
  test::expect_contract_error([&] { check(batch.args()); },
                              {"attention: sequence 0 has 2 queries and a context of 1"});
  batch.context_lens[0] = 21;
  test::expect_contract_error([&] { check(batch.args()); }, {"attention: block -1 is outside"});
  batch.context_lens[0] = 100;
  test::expect_contract_error([&] { check(batch.args()); }, {"context of 100 exceeds 6 blocks"});
  batch.context_lens[0] = 20;
  batch.key_mask.assign(10, 1);
  test::expect_contract_error([&] { check(batch.args()); }, {"key_mask of 10"});
  batch.key_mask.clear();
  batch.cu_seqlens[1] = 1;
  test::expect_contract_error([&] { check(batch.args()); }, {"cu_seqlens"});
}

}  // namespace
}  // namespace m2
