// A weight in one of GGUF's block formats times one token; ggml_matmul-inl.h says in which order it
// sums. Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_blocks_256-inl.h"
#include "cpu/ggml_dot-inl.h"
#include "cpu/strip_stream-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// Takes a block of L rows and multiplies it at once with a token.
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
  // sum + the products of some groups, without the token's scale.
  HWY_INLINE V add_to(V sum, std::int64_t first, std::int64_t num_groups) const {
    HWY_UNROLL(4)
    for (std::int64_t group = first; group < first + num_groups; ++group) {
      HWY_UNROLL(2)
      for (int part = 0; part < kParts; ++part) {
        sum = add_dot<Coding>(dots_[group][part], scales_[group][part], offsets_[group][part],
                              x_[group], part, sum);
      }
    }
    return sum;
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

// As many lines as a block of L rows has come into the second-level cache.
template <class F>
HWY_INLINE void fetch_block(const std::uint8_t*& ahead) {
  constexpr std::int64_t kBytes = kRowVector * F::kBlockBytes;
  HWY_UNROLL(8)
  for (std::int64_t at = 0; at < kBytes; at += kStripLine) prefetch(ahead + at);
  ahead += kBytes;
}

// total + the products of the next blocks, as many as the columns that share a scale of the token,
// or of one that is wider. Rows at `ahead` are multiplied next, in the order of memory.
template <class F>
HWY_INLINE V add_blocks(RowCursor<F>& cursor, const QuantizedGroup* x, std::int64_t num_blocks,
                        const std::uint8_t*& ahead, V total) {
  const D d;
  if constexpr (F::kBlockCols == kQuantizedCols) {
    V sum = hn::Zero(d);
    for (std::int64_t block = 0; block < num_blocks; ++block) {
      fetch_block<F>(ahead);
      BlockProduct<F> product(x + block);
      cursor.unpack(0, product);
      sum = product.add_to(sum, 0, 1);
    }
    return hn::MulAdd(sum, hn::Set(d, x->scale), total);
  } else {
    fetch_block<F>(ahead);
    BlockProduct<F> product(x);
    cursor.unpack(0, product);
    HWY_UNROLL(2)
    for (std::int64_t group = 0; group < F::kBlockCols / kQuantizedCols; group += kScaleGroups) {
      const V sum = product.add_to(hn::Zero(d), group, kScaleGroups);
      total = hn::MulAdd(sum, hn::Set(d, x[group].scale), total);
    }
    return total;
  }
}

// One token: nothing is kept, so nothing is unpacked to memory.
template <class F>
void ggml_one_token(const MatmulArgs& args) {
  const std::int64_t row_bytes = args.weight.cols / F::kBlockCols * F::kBlockBytes;
  constexpr std::int64_t kBlocks = F::kBlockCols == kQuantizedCols ? kScaleGroups : 1;
  const std::int64_t num_blocks = args.weight.cols / F::kBlockCols;
  const auto* weight = static_cast<const std::uint8_t*>(args.weight.data);
  for (std::int64_t row = args.row_begin; row < args.row_end; row += kRowVector) {
    const std::int64_t rest = args.row_end - row;
    const std::uint8_t* first = weight + row * row_bytes;
    std::uint8_t copy[kRowVector * F::kBlockBytes];
    RowCursor<F> cursor(first, row_bytes, rest, copy);
    const std::uint8_t* ahead = first + kRowVector * row_bytes;
    const QuantizedGroup* x = quantized_row(args, 0);
    V total = hn::Zero(D());
    for (std::int64_t block = 0; block < num_blocks; block += kBlocks) {
      const std::int64_t left = num_blocks - block;
      total = add_blocks(cursor, x, left < kBlocks ? left : kBlocks, ahead, total);
      x += kBlocks * F::kBlockCols / kQuantizedCols;
    }
    HWY_ALIGN float sums[kRowVector];
    hn::Store(total, D(), sums);
    store_sums(args, row, kRowVector, 0, sums);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
