// Batches over a block cache, for the tests of attention, and what float64 makes of them.
#pragma once

#include <limits>
#include <numeric>

#include "ops/attention.h"
#include "ops/op_cases.h"

namespace m2::test {

struct AttentionSequence {
  std::int32_t num_queries;
  std::int32_t context_len;
};

struct AttentionCase {
  std::string name;
  std::vector<AttentionSequence> sequences;
  std::int64_t num_heads = 4;
  std::int64_t num_kv_heads = 2;
  std::int64_t head_dim = 16;
  std::int64_t block_size = 16;

  /// Whether 4-D masks fit: all sequences of one shape.
  [[nodiscard]] bool rectangular() const {
    return !sequences.empty() &&
           std::all_of(sequences.begin(), sequences.end(), [&](const AttentionSequence& s) {
             return s.num_queries == sequences[0].num_queries &&
                    s.context_len == sequences[0].context_len;
           });
  }
};

enum class Ranges {
  kCausal,  // of the last queries
  kPacked,  // causal within documents of 11 tokens
  kAll,     // every key
  kRandom,  // anything, empty ones included
};

enum class Masks { kNone, kPadding, kBool, kBias, kBiasOfHeads };

/// The blocks lie in random order; what no key owns is NaN.
class AttentionBatch {
 public:
  AttentionBatch(const AttentionCase& c, KvFormat cache_format, unsigned seed)
      : random_(seed), format(cache_format) {
    cu_seqlens.push_back(0);
    std::int64_t num_blocks = 0;
    for (const auto& sequence : c.sequences) {
      cu_seqlens.push_back(cu_seqlens.back() + sequence.num_queries);
      context_lens.push_back(sequence.context_len);
      const std::int64_t blocks = (sequence.context_len + c.block_size - 1) / c.block_size;
      num_blocks += blocks;
      max_blocks = std::max(max_blocks, blocks + 1);
      max_context_len = std::max<std::int64_t>(max_context_len, sequence.context_len);
      max_queries = std::max<std::int64_t>(max_queries, sequence.num_queries);
    }
    q = random_.tensor({cu_seqlens.back(), c.num_heads, c.head_dim});
    output = Tensor(DType::kF32, q.shape());
    keys =
        Tensor(storage_dtype(format), {num_blocks + 1, c.num_kv_heads, c.block_size, c.head_dim});
    values = Tensor(keys.view().dtype, keys.shape());
    for (std::int64_t i = 0; i < keys.shape().num_elements(); ++i) {
      put(keys, i, std::numeric_limits<float>::quiet_NaN());
      put(values, i, std::numeric_limits<float>::quiet_NaN());
    }
    make_tables(num_blocks, c.block_size);
    for (std::size_t s = 0; s < c.sequences.size(); ++s) fill_sequence(s);
    set_ranges(Ranges::kCausal);
  }

  void set_ranges(Ranges ranges) {
    key_begin.clear();
    key_end.clear();
    for (std::size_t s = 0; s < context_lens.size(); ++s) {
      for (std::int32_t token = cu_seqlens[s]; token < cu_seqlens[s + 1]; ++token) {
        const std::int32_t index = context_lens[s] - cu_seqlens[s + 1] + token;
        const auto anywhere = [&] {
          return static_cast<std::int32_t>(random_.below(context_lens[s] + 1));
        };
        const bool causal = ranges == Ranges::kCausal || ranges == Ranges::kPacked;
        key_begin.push_back(ranges == Ranges::kPacked   ? index / 11 * 11
                            : ranges == Ranges::kRandom ? anywhere()
                                                        : 0);
        key_end.push_back(causal                      ? index + 1
                          : ranges == Ranges::kRandom ? anywhere()
                                                      : context_lens[s]);
      }
    }
  }

  void set_masks(Masks masks) {
    const auto num_seqs = static_cast<std::int64_t>(context_lens.size());
    const std::int64_t num_heads = q.shape()[1];
    if (masks == Masks::kPadding) make_padding();
    if (masks == Masks::kBool) {
      mask = Tensor(DType::kBool, {num_seqs, 1, max_queries, max_context_len});
      auto* bytes = static_cast<std::uint8_t*>(mask.view().data);
      for (std::int64_t i = 0; i < mask.shape().num_elements(); ++i) {
        const bool hidden_row = i / max_context_len % 3 == 0;
        bytes[i] = hidden_row || random_.below(4) == 0 ? 0 : 1;
      }
    }
    if (masks == Masks::kBias) mask = make_bias({num_seqs, 1, max_queries, max_context_len});
    if (masks == Masks::kBiasOfHeads) {
      mask = make_bias({1, num_heads, max_queries, max_context_len});
    }
  }

  /// Element 0 of a key's vector.
  [[nodiscard]] std::int64_t index(std::size_t s, std::int64_t key, std::int64_t head) const {
    const Shape& shape = keys.shape();
    const auto entry =
        s * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(key / shape[2]);
    return ((block_tables[entry] * shape[1] + head) * shape[2] + key % shape[2]) * shape[3];
  }

  [[nodiscard]] AttentionArgs args() const {
    const auto num_seqs = static_cast<std::int64_t>(context_lens.size());
    AttentionArgs args = {.q = q.view(),
                          .cache = {.keys = keys.view(), .values = values.view(), .format = format},
                          .cu_seqlens = view_of(cu_seqlens),
                          .context_lens = view_of(context_lens),
                          .key_begin = view_of(key_begin),
                          .key_end = view_of(key_end),
                          .block_tables = view_of(block_tables, {num_seqs, max_blocks}),
                          .max_context_len = max_context_len,
                          .max_queries = max_queries,
                          .mask = mask.view(),
                          .scale = 1.0F / std::sqrt(static_cast<float>(q.shape()[2])),
                          .output = output.view()};
    if (!key_mask.empty()) args.key_mask = view_of(key_mask, {num_seqs, max_context_len + 3});
    return args;
  }

 private:
  Random random_;

  static void put(const Tensor& cache, std::int64_t i, float value) {
    if (cache.view().dtype == DType::kF32) {
      cache.as<float>()[i] = value;
    } else {
      cache.as<bf16>()[i] = to_bf16(value);
    }
  }

  void make_tables(std::int64_t num_blocks, std::int64_t block_size) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 1);
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1],
                order[static_cast<std::size_t>(random_.below(static_cast<std::int64_t>(i)))]);
    }
    block_tables.assign(context_lens.size() * static_cast<std::size_t>(max_blocks), -1);
    std::size_t next = 0;
    for (std::size_t s = 0; s < context_lens.size(); ++s) {
      for (std::int64_t first = 0; first < context_lens[s]; first += block_size) {
        block_tables[s * static_cast<std::size_t>(max_blocks) +
                     static_cast<std::size_t>(first / block_size)] = order[next++];
      }
    }
  }

  void fill_sequence(std::size_t s) {
    for (std::int64_t key = 0; key < context_lens[s]; ++key) {
      for (std::int64_t head = 0; head < keys.shape()[1]; ++head) {
        for (std::int64_t dim = 0; dim < keys.shape()[3]; ++dim) {
          put(keys, index(s, key, head) + dim, random_.normal());
          put(values, index(s, key, head) + dim, random_.normal());
        }
      }
    }
  }

  // A padded start, so that the first queries of a prefill see nothing, and some holes.
  void make_padding() {
    for (const std::int32_t context_len : context_lens) {
      for (std::int64_t key = 0; key < max_context_len + 3; ++key) {
        key_mask.push_back(key < context_len / 3 || random_.below(5) == 0 ? 0 : 1);
      }
    }
  }

  // Some keys are hidden by the lowest number or by -inf, in some rows all are.
  Tensor make_bias(const Shape& shape) {
    Tensor bias = random_.tensor(shape);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      const std::int64_t row = i / max_context_len % 5;
      const std::int64_t kind = random_.below(6);
      if (row == 1 || kind == 0) bias.as<float>()[i] = std::numeric_limits<float>::lowest();
      if (row == 2 || kind == 1) bias.as<float>()[i] = -std::numeric_limits<float>::infinity();
    }
    return bias;
  }

 public:
  KvFormat format;
  Tensor q;       // [T, Nq, D]
  Tensor keys;    // [P, Nkv, B, D]
  Tensor values;  // the same
  Tensor output;  // [T, Nq, D]
  std::vector<std::int32_t> cu_seqlens;
  std::vector<std::int32_t> context_lens;
  std::vector<std::int32_t> key_begin;
  std::vector<std::int32_t> key_end;
  std::vector<std::int32_t> block_tables;  // [S, max_blocks]
  std::vector<std::uint8_t> key_mask;      // [S, max_context_len + 3] or empty
  Tensor mask;                             // 4-D or absent
  std::int64_t max_blocks = 0;
  std::int64_t max_context_len = 0;
  std::int64_t max_queries = 0;
};

struct ExpectedAttention {
  std::vector<double> values;
  std::vector<double> tolerance;
};

/// One query head in float64, with the error that float32 may add: that of the scores goes through
/// the softmax twice (numerator and denominator), then sums over the keys.
struct HeadOracle {
  const AttentionBatch& batch;
  const AttentionArgs& args;
  const std::string& target;
  std::size_t sequence = 0;
  std::int64_t token = 0;
  std::int64_t head = 0;

  [[nodiscard]] double element(const TensorView& cache, std::int64_t key, std::int64_t dim) const {
    const std::int64_t kv_head = head / (batch.q.shape()[1] / batch.keys.shape()[1]);
    return load_float(cache.data, cache.dtype, batch.index(sequence, key, kv_head) + dim);
  }
  [[nodiscard]] bool visible(std::int64_t key) const {
    const auto t = static_cast<std::size_t>(token);
    if (key < batch.key_begin[t] || key >= batch.key_end[t]) return false;
    if (!batch.key_mask.empty() &&
        batch.key_mask[sequence * static_cast<std::size_t>(batch.max_context_len + 3) +
                       static_cast<std::size_t>(key)] == 0) {
      return false;
    }
    return batch.mask.view().dtype != DType::kBool ||
           static_cast<const std::uint8_t*>(batch.mask.view().data)[mask_index(key)] != 0;
  }
  [[nodiscard]] double bias(std::int64_t key) const {
    const bool additive = batch.mask.present() && batch.mask.view().dtype == DType::kF32;
    return additive ? double{batch.mask.as<float>()[mask_index(key)]} : 0.0;
  }
  [[nodiscard]] std::int64_t mask_index(std::int64_t key) const {
    const Shape& shape = batch.mask.shape();
    const std::int64_t s = shape[0] == 1 ? 0 : static_cast<std::int64_t>(sequence);
    const std::int64_t query = token - batch.cu_seqlens[sequence];
    return ((s * shape[1] + (shape[1] == 1 ? 0 : head)) * shape[2] + query) * shape[3] + key;
  }

  void append_to(ExpectedAttention& out) const {
    const std::int64_t head_dim = batch.q.shape()[2];
    const std::int64_t context_len = batch.context_lens[sequence];
    const float* q = batch.q.as<float>() + (token * batch.q.shape()[1] + head) * head_dim;
    std::vector<double> weights(static_cast<std::size_t>(context_len), -HUGE_VAL);
    double score_error = 0.0;
    for (std::int64_t key = 0; key < context_len; ++key) {
      if (!visible(key)) continue;
      double dot = 0.0;
      double magnitude = 0.0;
      for (std::int64_t dim = 0; dim < head_dim; ++dim) {
        const double product = double{q[dim]} * element(batch.keys.view(), key, dim);
        dot += product;
        magnitude += std::fabs(product);
      }
      weights[static_cast<std::size_t>(key)] = dot * double{args.scale} + bias(key);
      const double added = std::fabs(bias(key)) < 1e30 ? std::fabs(bias(key)) : 0.0;
      score_error = std::max(score_error, kUnitRoundoff * ((dot_roundings(head_dim, target) + 6.0) *
                                                               magnitude * double{args.scale} +
                                                           2.0 * added));
    }
    const double sum = exponentials(weights);
    const double relative =
        2.0 * score_error + (static_cast<double>(context_len) + 32.0) * kUnitRoundoff;
    for (std::int64_t dim = 0; dim < head_dim; ++dim) {
      double value = 0.0;
      double magnitude = 0.0;
      for (std::int64_t key = 0; key < context_len; ++key) {
        const double weight = sum == 0.0 ? 0.0 : weights[static_cast<std::size_t>(key)] / sum;
        const double product = weight * element(batch.values.view(), key, dim);
        value += product;
        magnitude += std::fabs(product);
      }
      out.values.push_back(value);
      out.tolerance.push_back(relative * magnitude);
    }
  }

  // exp(score - largest) in place and their sum.
  double exponentials(std::vector<double>& scores) const {
    double largest = -HUGE_VAL;
    for (const double score : scores) largest = std::max(largest, score);
    const bool uniform = args.fully_masked == FullyMasked::kUniform;
    double sum = 0.0;
    for (double& score : scores) {
      score = largest > -HUGE_VAL ? std::exp(score - largest) : uniform ? 1.0 : 0.0;
      sum += score;
    }
    return sum;
  }
};

inline ExpectedAttention expected_attention(const AttentionBatch& batch, const AttentionArgs& args,
                                            const std::string& target) {
  ExpectedAttention result;
  for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
    for (std::int32_t token = batch.cu_seqlens[s]; token < batch.cu_seqlens[s + 1]; ++token) {
      for (std::int64_t head = 0; head < batch.q.shape()[1]; ++head) {
        HeadOracle{batch, args, target, s, token, head}.append_to(result);
      }
    }
  }
  return result;
}

}  // namespace m2::test
