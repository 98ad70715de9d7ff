// Matrix products with weights in GGUF's block formats and quantised activations. Include only from
// isa/ files.
//
// One (row, token) is always the same sum, whatever the way. Over the 128 columns that share a
// scale of the token, from zero, for every 32 columns (or 16, where the weights have a scale for
// each):
//   sum = fma(integer dot product, weight scale, sum) and, where the weights have offsets,
//   sum = fma(weight offset, sum of the token's codes, sum);
// then total = fma(sum, scale of the token, total).
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_one_token-inl.h"
#include "cpu/ggml_tiles-inl.h"
#include "cpu/linear-inl.h"
#include "cpu/strip_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

template <class F>
void ggml_matmul(const MatmulArgs& args) {
  if (args.num_tokens == 1) return ggml_one_token<F>(args);
  multiply_tiles<GgmlBlocks<F>>(args);
}

// Calls body with the format of GGUF's blocks, as a value of its type.
template <class Body>
HWY_INLINE void with_ggml_format(BlockFormat format, const Body& body) {
  switch (format) {
    case BlockFormat::kQ8_0:
      return body(Q80Format());
    case BlockFormat::kQ4_0:
      return body(Q40Format());
    case BlockFormat::kQ4_1:
      return body(Q41Format());
    case BlockFormat::kQ5_0:
      return body(Q50Format());
    case BlockFormat::kQ5_1:
      return body(Q51Format());
    case BlockFormat::kQ2_K:
      return body(Q2KFormat());
    case BlockFormat::kQ3_K:
      return body(Q3KFormat());
    case BlockFormat::kQ4_K:
      return body(Q4KFormat());
    case BlockFormat::kQ5_K:
      return body(Q5KFormat());
    case BlockFormat::kQ6_K:
      return body(Q6KFormat());
    case BlockFormat::kIQ4_NL:
      return body(Iq4NlFormat());
    default:
      return body(Iq4XsFormat());
  }
}

inline void matmul(const MatmulArgs& args) {
  if (args.num_tokens == 0) return;
  const BlockFormat format = args.weight.block_format;
  if (format == BlockFormat::kNone) return plain_matmul(args);
  if (is_strip_format(format)) return strip_matmul(args);
  with_ggml_format(format, [&](auto tag) HWY_ATTR { ggml_matmul<decltype(tag)>(args); });
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
