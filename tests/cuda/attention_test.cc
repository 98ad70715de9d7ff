#include "ops/attention.h"

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;

struct Sequence {
  std::int32_t num_queries;
  std::int32_t context_len;
};

struct Case {
  const char* name;
  std::vector<Sequence> sequences;
  std::int64_t num_heads;
  std::int64_t num_kv_heads;
  std::int64_t head_dim;
  std::int64_t block_size;
};

// The streaming kernel takes BF16 caches of 64 and 128 dimensions, the plain one all others; decode
// splits the keys, prefill fills its tiles of rows. Many queries of 128 dimensions have a kernel of
// their own where the device has wgmma.
const Case kCases[] = {
    {"nothing", {}, 4, 2, 64, 16},
    {"one key", {{1, 1}}, 6, 1, 128, 16},
    {"decode", {{1, 17}, {1, 300}, {1, 33}}, 12, 2, 128, 32},
    {"long decode", {{1, 3001}}, 12, 2, 128, 16},
    {"many parts", {{1, 9000}, {1, 5}}, 6, 1, 64, 64},
    {"prefill", {{40, 40}, {3, 70}, {0, 0}, {1, 1}}, 12, 2, 128, 16},
    {"long prefill", {{150, 600}}, 4, 2, 64, 32},
    {"one head each", {{5, 21}}, 3, 3, 64, 16},
    {"large group", {{2, 50}}, 32, 2, 128, 16},
    {"odd sizes", {{7, 19}, {1, 200}}, 4, 2, 20, 5},
    {"small blocks", {{1, 40}}, 2, 1, 64, 8},
    {"chunks", {{200, 900}, {1, 77}, {17, 17}, {16, 300}, {0, 0}}, 12, 2, 128, 32},
    {"long chunk", {{700, 1500}}, 6, 1, 128, 64},
    {"large blocks", {{130, 257}}, 2, 2, 128, 128},
};

// Everything a call needs, on the host; blocks are shuffled.
struct Batch {
  Batch(const Case& c, DType dtype, unsigned seed) : random(seed) {
    std::int32_t num_tokens = 0;
    std::int64_t num_blocks = 1;
    std::vector<std::int32_t> starts = {0};
    std::vector<std::int32_t> lens;
    for (const Sequence& s : c.sequences) {
      starts.push_back(num_tokens += s.num_queries);
      lens.push_back(s.context_len);
      max_context_len = std::max<std::int64_t>(max_context_len, s.context_len);
      max_queries = std::max<std::int64_t>(max_queries, s.num_queries);
      num_blocks += (s.context_len + c.block_size - 1) / c.block_size;
    }
    const auto num_seqs = static_cast<std::int64_t>(lens.size());
    cu_seqlens = test::tensor_of(starts, {num_seqs + 1});
    context_lens = test::tensor_of(lens, {num_seqs});
    make_tables(c, num_seqs, num_blocks);
    make_ranges(c, num_tokens);
    q = random.tensor({num_tokens, c.num_heads, c.head_dim});
    const Shape cache = {num_blocks, c.num_kv_heads, c.block_size, c.head_dim};
    keys = cache_of(dtype, cache);
    values = cache_of(dtype, cache);
    output = Tensor(DType::kF32, q.shape());
  }

  void make_tables(const Case& c, std::int64_t num_seqs, std::int64_t num_blocks) {
    const std::int64_t max_blocks = (max_context_len + c.block_size - 1) / c.block_size + 1;
    block_tables = Tensor(DType::kI32, {num_seqs, max_blocks});
    std::fill_n(block_tables.as<std::int32_t>(), num_seqs * max_blocks, -1);
    auto next = static_cast<std::int32_t>(num_blocks) - 1;
    for (std::int64_t s = 0; s < num_seqs; ++s) {
      const std::int64_t count =
          (c.sequences[static_cast<std::size_t>(s)].context_len + c.block_size - 1) / c.block_size;
      for (std::int64_t i = 0; i < count; ++i) {
        block_tables.as<std::int32_t>()[s * max_blocks + i] = next--;
      }
    }
  }

  void make_ranges(const Case& c, std::int32_t num_tokens) {
    key_begin = Tensor(DType::kI32, {num_tokens});
    key_end = Tensor(DType::kI32, {num_tokens});
    std::int32_t* end = key_end.as<std::int32_t>();
    for (const Sequence& s : c.sequences) {
      for (std::int32_t i = 0; i < s.num_queries; ++i) {
        *end++ = s.context_len - s.num_queries + i + 1;
      }
    }
  }

  Tensor cache_of(DType dtype, const Shape& shape) {
    const Tensor exact = random.tensor(shape);
    Tensor result(dtype, shape);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      if (dtype == DType::kF32) {
        result.as<float>()[i] = exact.as<float>()[i];
      } else if (dtype == DType::kF8E4M3) {
        result.as<f8e4m3>()[i] = to_f8e4m3(exact.as<float>()[i]);
      } else {
        result.as<bf16>()[i] = to_bf16(exact.as<float>()[i]);
      }
    }
    return result;
  }

  // Puts NaN where the blocks go on behind the last keys.
  void spoil_unused() const {
    const Shape& shape = keys.shape();
    for (std::int64_t s = 0; s < context_lens.shape()[0]; ++s) {
      const std::int64_t len = context_lens.as<std::int32_t>()[s];
      const std::int64_t at = s * block_tables.shape()[1] + len / shape[2];
      const std::int64_t block = block_tables.as<std::int32_t>()[at];
      for (std::int64_t row = len % shape[2]; row > 0 && row < shape[2]; ++row) {
        for (std::int64_t head = 0; head < shape[1]; ++head) {
          const std::int64_t first = ((block * shape[1] + head) * shape[2] + row) * shape[3];
          for (const Tensor* cache : {&keys, &values}) {
            const auto size = static_cast<std::int64_t>(dtype_size(cache->view().dtype));
            std::memset(static_cast<std::uint8_t*>(cache->view().data) + first * size, 0xFF,
                        static_cast<std::size_t>(shape[3] * size));
          }
        }
      }
    }
  }

  [[nodiscard]] AttentionArgs args() const {
    return {.q = q.view(),
            .cache = {.keys = keys.view(),
                      .values = values.view(),
                      .format = keys.view().dtype == DType::kF32    ? KvFormat::kF32
                                : keys.view().dtype == DType::kBF16 ? KvFormat::kBF16
                                                                    : KvFormat::kF8E4M3},
            .cu_seqlens = cu_seqlens.view(),
            .context_lens = context_lens.view(),
            .key_begin = key_begin.view(),
            .key_end = key_end.view(),
            .block_tables = block_tables.view(),
            .max_context_len = max_context_len,
            .max_queries = max_queries,
            .scale = 1.0F / std::sqrt(static_cast<float>(q.shape()[2])),
            .output = output.view()};
  }

  Random random;
  std::int64_t max_context_len = 0;
  std::int64_t max_queries = 0;
  Tensor cu_seqlens, context_lens, block_tables, key_begin, key_end;
  Tensor q, keys, values, output;
};

class CudaAttention : public test::DeviceTest {
 protected:
  // The same call with every tensor on the device; owned until the end of the test.
  AttentionArgs on_device(const AttentionArgs& host) {
    AttentionArgs args = host;
    for (TensorView* view : {&args.q, &args.cache.keys, &args.cache.values, &args.cu_seqlens,
                             &args.context_lens, &args.key_begin, &args.key_end, &args.block_tables,
                             &args.key_mask, &args.mask, &args.output, &args.probabilities}) {
      if (!view->present()) continue;
      tensors_.push_back(to_device(*view));
      *view = tensors_.back().view();
    }
    return args;
  }

  // An output is a mean of values, with weights that sum to one: errors of the scores, of the
  // exponential and of the sums are all relative to the largest value, about 5 for normal numbers.
  void expect_reference(const AttentionArgs& host) {
    const AttentionArgs device = on_device(host);
    backend_->attention(device);
    reference::attention(host);
    expect_near(device.output, host.output, 5.0 * tolerance(host));
    if (host.probabilities.present()) {
      expect_near(device.probabilities, host.probabilities, tolerance(host));
    }
    tensors_.clear();
  }

  // Scores are sums of D products and reach about 5; those of bf16 parts are good to 2^-16, those
  // of one f16 (an F8 cache) to 2^-12. Many queries are rounded to bf16, and so are their weights.
  static double tolerance(const AttentionArgs& args) {
    const KvFormat format = args.cache.format;
    const bool rounded = format != KvFormat::kF32 && args.max_queries > 16 &&
                         args.cache.head_dim() == 128 && !args.key_mask.present();
    if (rounded) return 0x1p-8;
    const double score = 5.0 * (format == KvFormat::kF8E4M3 ? 0x1p-12
                                : format == KvFormat::kBF16 ? 0x1p-16
                                                            : 0x1p-20);
    return score / (1.0 - double{args.dropout});
  }

  void expect_near(const TensorView& device, const TensorView& host, double limit) {
    Tensor got(DType::kF32, device.shape);
    backend_->download(device, got.view());
    double worst = 0.0;
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < host.num_elements(); ++i) {
      const double error = std::fabs(double{got.as<float>()[i]} - double{host.as<float>()[i]});
      if (error <= worst) continue;
      worst = error;
      at = i;
    }
    EXPECT_LE(worst, limit) << "element " << at << ": got " << got.as<float>()[at] << ", expected "
                            << host.as<float>()[at];
  }

  std::vector<Tensor> tensors_;
};

TEST_F(CudaAttention, MatchesTheReference) {
  unsigned seed = 0;
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
      SCOPED_TRACE(testing::Message() << c.name << " " << dtype_name(dtype));
      const Batch batch(c, dtype, ++seed);
      expect_reference(batch.args());
    }
  }
}

TEST_F(CudaAttention, WhatLiesBehindTheLastKeyDoesNotCount) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    SCOPED_TRACE(dtype_name(dtype));
    const Batch batch({"", {{1, 3001}, {3, 70}, {1, 5}}, 12, 2, 128, 32}, dtype, 37);
    batch.spoil_unused();
    expect_reference(batch.args());
  }
}

TEST_F(CudaAttention, KeyRangesAndPadding) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    for (const FullyMasked mode : {FullyMasked::kZero, FullyMasked::kUniform}) {
      const Case c{"", {{9, 40}, {1, 700}, {4, 4}}, 12, 2, 64, 16};
      const Batch batch(c, dtype, 31);
      for (std::int64_t t = 0; t < 14; ++t) {
        std::int32_t& begin = batch.key_begin.as<std::int32_t>()[t];
        begin = static_cast<std::int32_t>(t * 5 % 38);
        if (t % 5 == 4) begin = batch.key_end.as<std::int32_t>()[t];  // nothing is visible
      }
      const Tensor padding(DType::kU8, {3, 701});
      for (std::int64_t i = 0; i < 3 * 701; ++i) padding.as<std::uint8_t>()[i] = i % 7 != 3;
      std::fill_n(padding.as<std::uint8_t>() + 2 * 701, 2, std::uint8_t{0});
      AttentionArgs args = batch.args();
      args.key_mask = padding.view();
      args.fully_masked = mode;
      expect_reference(args);
    }
  }
}

// Ranges that begin and end anywhere, within tiles of 128 keys and across them, and empty ones.
TEST_F(CudaAttention, KeyRangesOfManyQueries) {
  for (const DType dtype : {DType::kBF16, DType::kF8E4M3}) {
    const Batch batch({"", {{150, 700}, {40, 41}}, 12, 2, 128, 16}, dtype, 36);
    for (std::int32_t t = 0; t < 190; ++t) {
      std::int32_t& begin = batch.key_begin.as<std::int32_t>()[t];
      const std::int32_t end = batch.key_end.as<std::int32_t>()[t];
      begin = t % 7 == 6 ? end : std::max(0, end - 1 - t * 3);
    }
    expect_reference(batch.args());
  }
}

TEST_F(CudaAttention, MasksDropoutAndProbabilities) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    const Case c{"", {{6, 150}, {6, 150}}, 4, 2, 64, 16};
    const Batch batch(c, dtype, 32);
    const Tensor probabilities(DType::kF32, {2, 4, 6, 150});
    const Tensor added = Random(33).tensor({2, 1, 6, 150});
    const Tensor allowed(DType::kBool, {1, 4, 6, 150});
    for (std::int64_t i = 0; i < 4 * 6 * 150; ++i) {
      static_cast<std::uint8_t*>(allowed.view().data)[i] = i / 150 != 8 && i % 3 != 0;
    }
    for (const TensorView& mask : {TensorView{}, added.view(), allowed.view()}) {
      for (const float dropout : {0.0F, 0.25F}) {
        for (const FullyMasked mode : {FullyMasked::kZero, FullyMasked::kUniform}) {
          AttentionArgs args = batch.args();
          args.mask = mask;
          args.dropout = dropout;
          args.dropout_seed = 77;
          args.fully_masked = mode;
          expect_reference(args);
          args.probabilities = probabilities.view();
          expect_reference(args);
        }
      }
    }
  }
}

// A damaged activation must show in its own head, not turn into zeros.
TEST_F(CudaAttention, NanQueryGivesNan) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    const Case c{"", {{1, 300}}, 4, 1, 64, 16};
    const Batch batch(c, dtype, 34);
    batch.q.as<float>()[5] = std::numeric_limits<float>::quiet_NaN();
    const AttentionArgs args = on_device(batch.args());
    backend_->attention(args);
    Tensor got(DType::kF32, args.output.shape);
    backend_->download(args.output, got.view());
    for (std::int64_t i = 0; i < 256; ++i) {
      EXPECT_EQ(std::isnan(got.as<float>()[i]), i < 64) << dtype_name(dtype) << " " << i;
    }
  }
}

TEST_F(CudaAttention, RepeatsBitForBit) {
  const Batch batch({"", {{1, 9000}, {1, 700}}, 12, 2, 128, 32}, DType::kBF16, 35);
  const AttentionArgs args = on_device(batch.args());
  const Tensor first(DType::kF32, args.output.shape);
  const Tensor again(DType::kF32, args.output.shape);
  backend_->attention(args);
  backend_->download(args.output, first.view());
  for (int i = 0; i < 5; ++i) {
    backend_->attention(args);
    backend_->download(args.output, again.view());
    test::expect_same_bits(test::floats(again), test::floats(first));
  }
}

}  // namespace
}  // namespace m2
