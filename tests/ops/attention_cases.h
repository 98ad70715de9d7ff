// Batches over a block cache, for the tests of attention.
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

/// What the blocks hold; with codes every third block stays exact.
enum class Storage { kF32, kBF16, kF8, kCodes8, kCodes4 };

enum class Masks { kNone, kPadding, kBool, kBias, kBiasOfHeads };

/// The blocks lie in random order; what no key owns is NaN.
class AttentionBatch {
 public:
  AttentionBatch(const AttentionCase& c, Storage storage, unsigned seed) : random_(seed) {
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
    make_cache(storage, {num_blocks + 1, c.num_kv_heads, c.block_size, c.head_dim});
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

  [[nodiscard]] KvCacheView cache() const {
    KvCacheView view = {.keys = keys.view(), .values = values.view()};
    if (keys.view().dtype == DType::kBF16) view.format = KvFormat::kBF16;
    if (keys.view().dtype == DType::kF8E4M3) view.format = KvFormat::kF8E4M3;
    if (bits == 0) return view;
    view.quantized = {.keys = key_codes.view(),
                      .values = value_codes.view(),
                      .key_groups = key_groups.view(),
                      .value_groups = value_groups.view(),
                      .bits = bits,
                      .group_size = group_size};
    return view;
  }

  /// A vector of a token as numbers, and for every element what its roundings are relative to.
  struct Vector {
    std::vector<float> values;
    std::vector<double> magnitudes;
  };
  [[nodiscard]] Vector load(KvPart part, std::size_t s, std::int64_t key,
                            std::int64_t kv_head) const {
    Vector vector;
    vector.values.resize(static_cast<std::size_t>(q.shape()[2]));
    const std::int64_t block = block_of(s, key);
    load_vector(cache(), part, {block, kv_head, key % keys.shape()[2]}, vector.values);
    const bool codes = block >= kFirstQuantizedBlock;
    const std::int64_t row = row_of(codes ? block - kFirstQuantizedBlock : block, key, kv_head);
    const Tensor& groups = part == KvPart::kKeys ? key_groups : value_groups;
    for (std::size_t dim = 0; dim < vector.values.size(); ++dim) {
      double magnitude = std::fabs(double{vector.values[dim]});
      if (codes) {  // code * scale + offset
        const std::int64_t group = static_cast<std::int64_t>(dim) / group_size;
        const std::int64_t at = (row * groups.shape()[3] + group) * 2;
        magnitude += 2.0 * std::fabs(double{groups.as<float>()[at + 1]});
      }
      vector.magnitudes.push_back(magnitude);
    }
    return vector;
  }

  [[nodiscard]] AttentionArgs args() const {
    const auto num_seqs = static_cast<std::int64_t>(context_lens.size());
    AttentionArgs args = {.q = q.view(),
                          .cache = cache(),
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

  // Everything is NaN. Codes have two groups where that is possible.
  void make_cache(Storage storage, const Shape& shape) {
    const auto filled = [](DType dtype, const Shape& of) {
      Tensor tensor(dtype, of);
      std::memset(tensor.view().data, 0xFF, tensor.view().num_bytes());
      return tensor;
    };
    const DType dtype = storage == Storage::kBF16 ? DType::kBF16
                        : storage == Storage::kF8 ? DType::kF8E4M3
                                                  : DType::kF32;
    keys = filled(dtype, shape);
    values = filled(dtype, shape);
    if (storage < Storage::kCodes8) return;
    bits = storage == Storage::kCodes8 ? 8 : 4;
    group_size = shape[3] % 4 == 0 ? shape[3] / 2 : shape[3];
    const Shape codes = {shape[0], shape[1], shape[2], shape[3] * bits / 8};
    const Shape groups = {shape[0], shape[1], shape[2], shape[3] / group_size, 2};
    key_codes = filled(DType::kU8, codes);
    value_codes = filled(DType::kU8, codes);
    key_groups = filled(DType::kF32, groups);
    value_groups = filled(DType::kF32, groups);
  }

  [[nodiscard]] std::int64_t block_of(std::size_t s, std::int64_t key) const {
    return block_tables[s * static_cast<std::size_t>(max_blocks) +
                        static_cast<std::size_t>(key / keys.shape()[2])];
  }
  [[nodiscard]] std::int64_t row_of(std::int64_t block, std::int64_t key,
                                    std::int64_t kv_head) const {
    const Shape& shape = keys.shape();
    return (block * shape[1] + kv_head) * shape[2] + key % shape[2];
  }

  void store(KvPart part, std::int64_t block, std::int64_t key, std::int64_t kv_head,
             const Tensor& vector) {
    const bool is_key = part == KvPart::kKeys;
    const auto numbers = floats(vector);
    const std::int64_t dim = vector.shape()[0];
    if (block >= kFirstQuantizedBlock) {
      const std::int64_t row = row_of(block - kFirstQuantizedBlock, key, kv_head);
      quantize_vector(
          numbers, bits, group_size,
          (is_key ? key_codes : value_codes).as<std::uint8_t>() + row * dim * bits / 8,
          (is_key ? key_groups : value_groups).as<float>() + row * dim / group_size * 2);
      return;
    }
    const Tensor& to = is_key ? keys : values;
    const std::int64_t first = row_of(block, key, kv_head) * dim;
    for (std::int64_t i = 0; i < dim; ++i) {
      const float value = numbers[static_cast<std::size_t>(i)];
      if (to.view().dtype == DType::kF32) {
        to.as<float>()[first + i] = value;
      } else if (to.view().dtype == DType::kF8E4M3) {
        to.as<f8e4m3>()[first + i] = to_f8e4m3(value);
      } else {
        to.as<bf16>()[first + i] = to_bf16(value);
      }
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
        const std::int32_t block = order[next++];
        block_tables[s * static_cast<std::size_t>(max_blocks) +
                     static_cast<std::size_t>(first / block_size)] =
            bits > 0 && block % 3 != 0 ? kFirstQuantizedBlock + block : block;
      }
    }
  }

  void fill_sequence(std::size_t s) {
    for (std::int64_t key = 0; key < context_lens[s]; ++key) {
      for (std::int64_t head = 0; head < keys.shape()[1]; ++head) {
        for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
          store(part, block_of(s, key), key, head, random_.tensor({q.shape()[2]}));
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
  Tensor q;       // [T, Nq, D]
  Tensor keys;    // [P, Nkv, B, D]
  Tensor values;  // the same
  int bits = 0;   // of codes; a block is exact or has codes, never both
  std::int64_t group_size = 0;
  Tensor key_codes;     // [P, Nkv, B, D * bits / 8] or absent
  Tensor value_codes;   // the same
  Tensor key_groups;    // [P, Nkv, B, D / G, 2] or absent
  Tensor value_groups;  // the same
  Tensor output;        // [T, Nq, D]
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

}  // namespace m2::test
