// Matrix products with weights in GGUF's block formats and quantised activations. Include only from
// isa/ files.
//
// One (row, token) is always the same sum, whatever the way. Over the 128 columns that share a
// scale of the token, from zero, for every 32 columns (or 16, where the weights have a scale for
// each):
//   sum = fma(integer dot product, weight scale, sum) and, where the weights have offsets,
//   sum = fma(weight offset, sum of the token's codes, sum);
// then total = fma(sum, scale of the token, total).
// For several tokens, some rows by 256 columns are unpacked to the first-level cache
// (ggml_blocks_32-inl.h), as quads of codes and float32 scales, and multiplied in register tiles.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_one_token-inl.h"
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

// The coding of what was unpacked to memory: where the dot product takes eight bits as easily as
// four, every zero is 128, which needs no arithmetic with the tokens' offsets.
#if HWY_TARGET == HWY_AVX3_DL
template <class Coding>
using UnpackedCoding =
    GgmlCoding<Coding::kScales, Coding::kOffsets, 255, Coding::kZero == 0 ? 0 : 128>;
#else
template <class Coding>
using UnpackedCoding = Coding;
#endif

// Takes blocks of L rows to UnpackedRows.
template <class Coding>
class Unpacker {
 public:
  HWY_INLINE explicit Unpacker(UnpackedRows& rows) : rows_(rows) {}
  HWY_INLINE void put_quad(std::int64_t group, std::int64_t quad, VU32 codes) {
    constexpr std::uint32_t kMore = UnpackedCoding<Coding>::kZero - Coding::kZero;
    if constexpr (kMore != 0) codes = hn::Add(codes, hn::Set(DU32(), kMore * 0x01010101U));
    hn::Store(codes, DU32(), rows_.codes[group][quad]);
  }
  HWY_INLINE void put_scale(std::int64_t group, std::int64_t part, V scale) {
    hn::Store(scale, D(), rows_.scales[group][part]);
  }
  HWY_INLINE void put_offset(std::int64_t group, std::int64_t part, V offset) {
    hn::Store(offset, D(), rows_.offsets[group][part]);
  }

 private:
  UnpackedRows& rows_;
};

// sums[r][c] += the products of R vectors of rows and C tokens in one group, without the scales of
// the tokens.
template <class Coding, int R, int C>
HWY_INLINE void unpacked_group(const UnpackedRows* rows, std::int64_t group,
                               const QuantizedGroup* const* x, std::int64_t index,
                               V (&sums)[R][C]) {
  constexpr int kPartQuads = static_cast<int>(kQuads) / Coding::kScales;
  HWY_UNROLL(2)
  for (int part = 0; part < Coding::kScales; ++part) {
    QuadSum<Coding::kMaxCode> dots[R][C];
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      const V32 offset = offset_of<Coding>(x[c][index], part);
      for (int r = 0; r < R; ++r) dots[r][c].template start<Coding::kZero>(offset);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < kPartQuads; ++i) {
      const int quad = part * kPartQuads + i;
      VU32 codes[R];
      for (int r = 0; r < R; ++r) codes[r] = hn::Load(DU32(), rows[r].codes[group][quad]);
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        const std::int32_t columns = load_quad(x[c][index].codes + 4 * quad);
        for (int r = 0; r < R; ++r) dots[r][c].add(i, codes[r], columns);
      }
    }
    HWY_UNROLL(2)
    for (int r = 0; r < R; ++r) {
      const V scale = hn::Load(D(), rows[r].scales[group][part]);
      V offset = hn::Zero(D());
      if constexpr (Coding::kOffsets) offset = hn::Load(D(), rows[r].offsets[group][part]);
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        sums[r][c] = add_dot<Coding>(dots[r][c], scale, offset, x[c][index], part, sums[r][c]);
      }
    }
  }
}

// totals[c * kGgmlRows + r * L + lane] += the products over some groups.
template <class Coding, int R, int C>
HWY_INLINE void unpacked_tile(const UnpackedRows* rows, const QuantizedGroup* const* tokens,
                              std::int64_t num_groups, float* totals) {
  const D d;
  const QuantizedGroup* x[C];
  for (int c = 0; c < C; ++c) x[c] = tokens[c];
  for (std::int64_t first = 0; first < num_groups; first += kScaleGroups) {
    const std::int64_t left = num_groups - first;
    const std::int64_t count = left < kScaleGroups ? left : kScaleGroups;
    V sums[R][C];
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) sums[r][c] = hn::Zero(d);
    }
    for (std::int64_t g = 0; g < count; ++g) {
      unpacked_group<Coding, R, C>(rows, first + g, x, g, sums);
    }
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      const V scale = hn::Set(d, x[c]->scale);
      for (int r = 0; r < R; ++r) {
        float* total = totals + c * kGgmlRows + r * kRowVector;
        hn::Store(hn::MulAdd(sums[r][c], scale, hn::Load(d, total)), d, total);
      }
      x[c] += kScaleGroups;
    }
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
    unpacked_tile<Coding, R, C>(rows + vector, x, num_groups, sums + vector * kRowVector);
  }
  if constexpr (R > 1) {
    if (vector == num_vectors) return;
    unpacked_tile<Coding, 1, C>(rows + vector, x, num_groups, sums + vector * kRowVector);
  }
}

// What a pass over rows keeps in scratch memory.
struct GgmlPass {
  UnpackedRows unpacked[kGgmlRows / kRowVector];
  HWY_ALIGN float sums[kPassTokens][kGgmlRows];
};

// The unpacked groups from `group` on times tokens [first, first + num_tokens).
template <class Coding>
void multiply_unpacked(const MatmulArgs& args, std::int64_t first, std::int64_t num_tokens,
                       std::int64_t num_vectors, std::int64_t group, std::int64_t num_groups,
                       GgmlPass& pass) {
  for (std::int64_t token = 0; token < num_tokens; token += kUnpackedTokens) {
    const std::int64_t more = num_tokens - token;
    const std::int64_t count = more < kUnpackedTokens ? more : kUnpackedTokens;
    const QuantizedGroup* x[kUnpackedTokens];
    for (std::int64_t c = 0; c < count; ++c) x[c] = quantized_row(args, first + token + c) + group;
    unpacked_tokens<Coding, kUnpackedTokens>(count, pass.unpacked, num_vectors, x, num_groups,
                                             pass.sums[token]);
  }
}

// Up to kGgmlRows rows from `row` on times tokens [first, first + num_tokens).
template <class F>
void ggml_pass(const MatmulArgs& args, std::int64_t row_bytes, std::int64_t row, std::int64_t first,
               std::int64_t num_tokens, GgmlPass& pass) {
  using Coding = typename F::Coding;
  constexpr std::int64_t kGroups = F::kBlockCols / kQuantizedCols;
  constexpr std::int64_t kVectors = kGgmlRows / kRowVector;
  const std::int64_t all_groups = args.weight.cols / kQuantizedCols;
  const std::int64_t rest = args.row_end - row;
  const std::int64_t num_vectors =
      rest >= kGgmlRows ? kVectors : (rest + kRowVector - 1) / kRowVector;
  const auto* weight = static_cast<const std::uint8_t*>(args.weight.data) + row * row_bytes;
  __builtin_memset(pass.sums, 0, static_cast<std::size_t>(num_tokens) * sizeof(pass.sums[0]));
  for (std::int64_t group = 0; group < all_groups; group += kUnpackedGroups) {
    const std::int64_t left = all_groups - group;
    const std::int64_t num_groups = left < kUnpackedGroups ? left : kUnpackedGroups;
    const std::int64_t block = group / kGroups;
    for (std::int64_t v = 0; v < num_vectors; ++v) {
      std::uint8_t copy[kRowVector * F::kBlockBytes];
      const std::uint8_t* rows = weight + v * kRowVector * row_bytes;
      const std::uint8_t* next = rows + kGgmlRows * row_bytes + block * kRowVector * F::kBlockBytes;
      RowCursor<F> cursor(rows + block * F::kBlockBytes, row_bytes, rest - v * kRowVector, next,
                          copy);
      Unpacker<Coding> unpacker(pass.unpacked[v]);
      for (std::int64_t g = 0; g < num_groups; g += kGroups) cursor.unpack(g, unpacker);
    }
    multiply_unpacked<UnpackedCoding<Coding>>(args, first, num_tokens, num_vectors, group,
                                              num_groups, pass);
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, row, kGgmlRows, first + token, pass.sums[token]);
  }
}

template <class F>
void ggml_matmul(const MatmulArgs& args) {
  const std::int64_t row_bytes = args.weight.cols / F::kBlockCols * F::kBlockBytes;
  if (args.num_tokens == 1) return ggml_one_token<F>(args, row_bytes);
  auto& pass = *reinterpret_cast<GgmlPass*>(args.scratch);
  for (std::int64_t first = 0; first < args.num_tokens; first += kPassTokens) {
    const std::int64_t more = args.num_tokens - first;
    const std::int64_t count = more < kPassTokens ? more : kPassTokens;
    for (std::int64_t row = args.row_begin; row < args.row_end; row += kGgmlRows) {
      ggml_pass<F>(args, row_bytes, row, first, count, pass);
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
