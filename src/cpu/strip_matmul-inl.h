// Matrix products with weights in strips (quant/strip_format.h) and quantised activations. Include
// only from isa/ files.
//
// One (row, token) is always the same sum, whatever the way: over its blocks of 128 columns in
// order, sum = fma(part, scale of the activations, sum), from zero. A part is
// fma(integer dot product, weight scale, part) over the groups of 32 columns, from zero, or the
// product of both for weights with one scale for the block.
#pragma once

#include "cpu/strip_passes-inl.h"
#include "cpu/strip_stream-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

template <Codes kCodes, bool kOneScale>
void strip_matmul_of(const MatmulArgs& args) {
  if (args.num_tokens <= kMostRowTokens) return strip_stream<kCodes, kOneScale>(args);
  multiply_tiles<StripBlocks<kCodes, kOneScale>>(args);
}

// row_begin is a multiple of 16.
inline void strip_matmul(const MatmulArgs& args) {
  switch (args.weight.block_format) {
    case BlockFormat::kInt8G32:
      return strip_matmul_of<Codes::kBytes, false>(args);
    case BlockFormat::kInt4G32:
      return strip_matmul_of<Codes::kNibbles, false>(args);
    default:
      return strip_matmul_of<Codes::kNibbles, true>(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
