// Matrix products with weights in GGUF's block formats and quantised activations. Include only from
// isa/ files.
//
// One (row, token) is always the same sum, whatever the way: over its groups of 32 (or 16, where
// the format has a scale for each) columns in order, from zero,
//   sum = fma(integer dot product, weight scale * activation scale, sum), then, with offsets,
//   sum = fma(weight offset, sum of the activations, sum).
// For several tokens, some rows by 256 columns are unpacked to the first-level cache
// (ggml_blocks_32-inl.h), as quads of codes and float32 scales, and multiplied in register tiles.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_blocks_256-inl.h"
#include "cpu/ggml_dot-inl.h"
#include "cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// Rows that are unpacked before they meet all tokens, and the tiles of kUnpackedVectors vectors of
// rows by kUnpackedTokens tokens in which they do: of 32 registers, 2 x 2 x 6 hold the integers and
// the sums; of 16, 2 x 4.
constexpr std::int64_t kGgmlRows = kRowVector >= 8 ? 32 : 4 * kRowVector;
#if HWY_TARGET == HWY_AVX3_DL
constexpr int kUnpackedVectors = 2;
constexpr int kUnpackedTokens = 6;
#else
constexpr int kUnpackedVectors = 1;
constexpr int kUnpackedTokens = 4;
#endif

// These rows of the weight, each `row_bytes` long.
struct GgmlRows {
  const std::uint8_t* first;
  std::int64_t row_bytes;
  std::int64_t num_rows;
};

// Blocks of the L rows from `bytes` on. Rows that are not there repeat the last one, in `copy`.
template <class F>
HWY_INLINE RowBlocks row_blocks(const std::uint8_t* bytes, std::int64_t row_bytes,
                                std::int64_t num_rows, std::uint8_t* copy) {
  if (HWY_LIKELY(num_rows >= kRowVector)) return {bytes, row_bytes};
  for (std::int64_t r = 0; r < kRowVector; ++r) {
    const std::int64_t row = r < num_rows ? r : num_rows - 1;
    __builtin_memcpy(copy + r * F::kBlockBytes, bytes + row * row_bytes, F::kBlockBytes);
  }
  return {copy, F::kBlockBytes};
}

// While blocks [block, block + num_blocks) of some rows are read, as much of the rows behind them
// comes into the second-level cache: lines in the order of memory, whatever they belong to.
template <class F>
HWY_INLINE void fetch_ahead(const GgmlRows& rows, std::int64_t block, std::int64_t num_blocks) {
  constexpr std::int64_t kLine = 64;
  const std::int64_t step = rows.num_rows * F::kBlockBytes;
  const std::uint8_t* from = rows.first + rows.num_rows * rows.row_bytes + block * step;
  for (std::int64_t at = 0; at < num_blocks * step; at += kLine) prefetch(from + at);
}

// The offset of the columns that have the scale number `part` of a group.
template <class Coding>
HWY_INLINE std::int32_t offset_of(const QuantizedGroup& x, int part) {
  if constexpr (Coding::kScales == 1) return x.offset;
  return part == 0 ? x.first_offset : x.offset - x.first_offset;
}

// total + the dot product times both scales + the weights' offset times the activations' sum.
template <class Coding>
HWY_INLINE V add_dot(const QuadSum<Coding::kMaxCode>& dot, V scale, const V& offset,
                     const QuantizedGroup& x, int part, V total) {
  const D d;
  const V factor = hn::Mul(scale, hn::Set(d, x.scale));
  total = hn::MulAdd(hn::ConvertTo(d, dot.finish()), factor, total);
  if constexpr (Coding::kOffsets) {
    const auto sum = static_cast<float>(offset_of<Coding>(x, part)) * (-1.0F / 128.0F);
    total = hn::MulAdd(offset, hn::Set(d, sum * x.scale), total);
  }
  return total;
}

// Takes a block of L rows as UnpackedRows does, but multiplies it at once with a token.
template <class F>
class BlockProduct {
 public:
  HWY_INLINE explicit BlockProduct(const QuantizedGroup* x) : x_(x) {
    HWY_UNROLL(8)
    for (std::int64_t group = 0; group < kGroups; ++group) {
      HWY_UNROLL(2)
      for (int part = 0; part < kParts; ++part) {
        dots_[group][part].template start<Coding::kZero>(offset_of<Coding>(x[group], part));
      }
    }
  }
  HWY_INLINE void put_quad(std::int64_t group, std::int64_t quad, VU32 codes) {
    dots_[group][quad / kPartQuads].add(static_cast<int>(quad % kPartQuads), codes,
                                        load_quad(x_[group].codes + 4 * quad));
  }
  HWY_INLINE void put_scale(std::int64_t group, std::int64_t part, V scale) {
    scales_[group][part] = scale;
  }
  HWY_INLINE void put_offset(std::int64_t group, std::int64_t part, V offset) {
    offsets_[group][part] = offset;
  }
  HWY_INLINE V add_to(V total) const {
    HWY_UNROLL(8)
    for (std::int64_t group = 0; group < kGroups; ++group) {
      HWY_UNROLL(2)
      for (int part = 0; part < kParts; ++part) {
        total = add_dot<Coding>(dots_[group][part], scales_[group][part], offsets_[group][part],
                                x_[group], part, total);
      }
    }
    return total;
  }

 private:
  using Coding = typename F::Coding;
  static constexpr std::int64_t kGroups = F::kBlockCols / kQuantizedCols;
  static constexpr int kParts = Coding::kScales;
  static constexpr std::int64_t kPartQuads = kQuads / kParts;

  const QuantizedGroup* x_;  // [kGroups]
  QuadSum<Coding::kMaxCode> dots_[kGroups][kParts];
  V scales_[kGroups][kParts];
  V offsets_[kGroups][kParts];
};

// One token: nothing is kept, so nothing is unpacked to memory.
template <class F>
void ggml_one_token(const MatmulArgs& args, std::int64_t row_bytes) {
  const std::int64_t num_blocks = args.weight.cols / F::kBlockCols;
  const auto* weight = static_cast<const std::uint8_t*>(args.weight.data);
  for (std::int64_t row = args.row_begin; row < args.row_end; row += kRowVector) {
    const std::int64_t rest = args.row_end - row;
    const GgmlRows rows{weight + row * row_bytes, row_bytes, rest < kRowVector ? rest : kRowVector};
    const QuantizedGroup* x = quantized_row(args, 0);
    V total = hn::Zero(D());
    for (std::int64_t block = 0; block < num_blocks; ++block) {
      fetch_ahead<F>(rows, block, 1);
      std::uint8_t copy[kRowVector * F::kBlockBytes];
      BlockProduct<F> product(x);
      F::unpack(row_blocks<F>(rows.first + block * F::kBlockBytes, row_bytes, rows.num_rows, copy),
                0, product);
      total = product.add_to(total);
      x += F::kBlockCols / kQuantizedCols;
    }
    HWY_ALIGN float sums[kRowVector];
    hn::Store(total, D(), sums);
    store_sums(args, row, rows.num_rows, 0, sums);
  }
}

// sums[c * stride + r * L + lane] += the products of R vectors of rows and C tokens over some
// groups.
template <class Coding, int R, int C>
HWY_INLINE void unpacked_tile(const UnpackedRows* rows, const QuantizedGroup* const* tokens,
                              std::int64_t num_groups, std::int64_t stride, float* sums) {
  const D d;
  constexpr int kParts = Coding::kScales;
  constexpr int kPartQuads = static_cast<int>(kQuads) / kParts;
  const QuantizedGroup* x[C];
  V totals[R][C];
  HWY_UNROLL(8)
  for (int c = 0; c < C; ++c) {
    x[c] = tokens[c];
    for (int r = 0; r < R; ++r) totals[r][c] = hn::Load(d, sums + c * stride + r * kRowVector);
  }
  for (std::int64_t group = 0; group < num_groups; ++group) {
    HWY_UNROLL(2)
    for (int part = 0; part < kParts; ++part) {
      QuadSum<Coding::kMaxCode> dots[R][C];
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        const std::int32_t offset = offset_of<Coding>(*x[c], part);
        for (int r = 0; r < R; ++r) dots[r][c].template start<Coding::kZero>(offset);
      }
      HWY_UNROLL(8)
      for (int i = 0; i < kPartQuads; ++i) {
        const int quad = part * kPartQuads + i;
        VU32 codes[R];
        for (int r = 0; r < R; ++r) codes[r] = hn::Load(DU32(), rows[r].codes[group][quad]);
        HWY_UNROLL(8)
        for (int c = 0; c < C; ++c) {
          const std::int32_t columns = load_quad(x[c]->codes + 4 * quad);
          for (int r = 0; r < R; ++r) dots[r][c].add(i, codes[r], columns);
        }
      }
      HWY_UNROLL(2)
      for (int r = 0; r < R; ++r) {
        const V scale = hn::Load(d, rows[r].scales[group][part]);
        V offset = hn::Zero(d);
        if constexpr (Coding::kOffsets) offset = hn::Load(d, rows[r].offsets[group][part]);
        HWY_UNROLL(8)
        for (int c = 0; c < C; ++c) {
          totals[r][c] = add_dot<Coding>(dots[r][c], scale, offset, *x[c], part, totals[r][c]);
        }
      }
    }
    for (int c = 0; c < C; ++c) ++x[c];
  }
  HWY_UNROLL(8)
  for (int c = 0; c < C; ++c) {
    for (int r = 0; r < R; ++r) hn::Store(totals[r][c], d, sums + c * stride + r * kRowVector);
  }
}

// All vectors of a pass and up to C tokens; the last, smaller group of tokens has a C of its own.
template <class Coding, int C>
void unpacked_tokens(std::int64_t num_tokens, const UnpackedRows* rows, std::int64_t num_vectors,
                     const QuantizedGroup* const* x, std::int64_t num_groups, float* sums) {
  if (num_tokens < C) {
    if constexpr (C > 1) {
      unpacked_tokens<Coding, C - 1>(num_tokens, rows, num_vectors, x, num_groups, sums);
    }
    return;
  }
  constexpr int R = kUnpackedVectors;
  std::int64_t vector = 0;
  for (; vector + R <= num_vectors; vector += R) {
    unpacked_tile<Coding, R, C>(rows + vector, x, num_groups, kGgmlRows,
                                sums + vector * kRowVector);
  }
  if constexpr (R > 1) {
    if (vector == num_vectors) return;
    unpacked_tile<Coding, 1, C>(rows + vector, x, num_groups, kGgmlRows,
                                sums + vector * kRowVector);
  }
}

// sums [num_tokens, kGgmlRows] += the rows of a pass times tokens [first, first + num_tokens).
template <class F>
void ggml_pass(const MatmulArgs& args, const GgmlRows& rows, std::int64_t first,
               std::int64_t num_tokens, UnpackedRows* unpacked, float* sums) {
  constexpr std::int64_t kGroups = F::kBlockCols / kQuantizedCols;
  const std::int64_t all_groups = args.weight.cols / kQuantizedCols;
  const std::int64_t num_vectors = (rows.num_rows + kRowVector - 1) / kRowVector;
  for (std::int64_t group = 0; group < all_groups; group += kUnpackedGroups) {
    const std::int64_t rest = all_groups - group;
    const std::int64_t num_groups = rest < kUnpackedGroups ? rest : kUnpackedGroups;
    fetch_ahead<F>(rows, group / kGroups, num_groups / kGroups);
    for (std::int64_t v = 0; v < num_vectors; ++v) {
      const std::uint8_t* bytes = rows.first + v * kRowVector * rows.row_bytes;
      for (std::int64_t g = 0; g < num_groups; g += kGroups) {
        std::uint8_t copy[kRowVector * F::kBlockBytes];
        F::unpack(row_blocks<F>(bytes + (group + g) / kGroups * F::kBlockBytes, rows.row_bytes,
                                rows.num_rows - v * kRowVector, copy),
                  g, unpacked[v]);
      }
    }
    for (std::int64_t token = 0; token < num_tokens; token += kUnpackedTokens) {
      const std::int64_t more = num_tokens - token;
      const std::int64_t count = more < kUnpackedTokens ? more : kUnpackedTokens;
      const QuantizedGroup* x[kUnpackedTokens];
      for (std::int64_t c = 0; c < count; ++c) {
        x[c] = quantized_row(args, first + token + c) + group;
      }
      unpacked_tokens<typename F::Coding, kUnpackedTokens>(count, unpacked, num_vectors, x,
                                                           num_groups, sums + token * kGgmlRows);
    }
  }
}

template <class F>
void ggml_matmul(const MatmulArgs& args) {
  const std::int64_t row_bytes = args.weight.cols / F::kBlockCols * F::kBlockBytes;
  if (args.num_tokens == 1) return ggml_one_token<F>(args, row_bytes);
  const auto* weight = static_cast<const std::uint8_t*>(args.weight.data);
  auto* unpacked = reinterpret_cast<UnpackedRows*>(args.scratch);  // [kGgmlRows / L]
  auto* sums = reinterpret_cast<float*>(unpacked + kGgmlRows / kRowVector);
  for (std::int64_t first = 0; first < args.num_tokens; first += kPassTokens) {
    const std::int64_t more = args.num_tokens - first;
    const std::int64_t count = more < kPassTokens ? more : kPassTokens;
    for (std::int64_t row = args.row_begin; row < args.row_end; row += kGgmlRows) {
      const std::int64_t rest = args.row_end - row;
      const GgmlRows rows{weight + row * row_bytes, row_bytes, rest < kGgmlRows ? rest : kGgmlRows};
      __builtin_memset(sums, 0, static_cast<std::size_t>(count * kGgmlRows) * sizeof(float));
      ggml_pass<F>(args, rows, first, count, unpacked, sums);
      for (std::int64_t token = 0; token < count; ++token) {
        store_sums(args, row, rows.num_rows, first + token, sums + token * kGgmlRows);
      }
    }
  }
}

inline void matmul(const MatmulArgs& args) {
  if (args.num_tokens == 0) return;
  switch (args.weight.block_format) {
    case BlockFormat::kQ8_0:
      return ggml_matmul<Q80Format>(args);
    case BlockFormat::kQ4_0:
      return ggml_matmul<Q40Format>(args);
    case BlockFormat::kQ4_1:
      return ggml_matmul<Q41Format>(args);
    case BlockFormat::kQ5_0:
      return ggml_matmul<Q50Format>(args);
    case BlockFormat::kQ5_1:
      return ggml_matmul<Q51Format>(args);
    case BlockFormat::kQ2_K:
      return ggml_matmul<Q2KFormat>(args);
    case BlockFormat::kQ3_K:
      return ggml_matmul<Q3KFormat>(args);
    case BlockFormat::kQ4_K:
      return ggml_matmul<Q4KFormat>(args);
    case BlockFormat::kQ5_K:
      return ggml_matmul<Q5KFormat>(args);
    case BlockFormat::kQ6_K:
      return ggml_matmul<Q6KFormat>(args);
    case BlockFormat::kIQ4_NL:
      return ggml_matmul<Iq4NlFormat>(args);
    case BlockFormat::kIQ4_XS:
      return ggml_matmul<Iq4XsFormat>(args);
    default:
      return matmul_own_formats(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
