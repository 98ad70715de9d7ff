// Fills the arguments of a product of many tokens and launches it.
#pragma once

#include "cuda/context.h"
#include "cuda/sm90/gemm.h"
#include "cuda/sm90/tokens.h"

namespace m2::cuda::sm90 {

/// More tokens than this take the kernels of this folder. Experts stay with the decode kernels for
/// longer: 256 tokens are eight for each, a tile of theirs. With int4 weights these take 128 at a
/// time.
constexpr int kFewTokens = 64;
[[nodiscard]] constexpr int few_expert_tokens(Format format) {
  return format == Format::kInt4 ? 128 : 256;
}

[[nodiscard]] constexpr int operand_bytes(Format format) { return format == Format::kBF16 ? 2 : 1; }
[[nodiscard]] Format format_of(const WeightView& weight);

/// Sets the operand: rows [num_rows, cols] of the format's type.
void set_tokens(Gemm& gemm, const OperandRows& rows, std::int64_t num_rows, std::int64_t cols,
                Format format);
/// Buffers for operand rows; contents of earlier ones are lost.
[[nodiscard]] OperandRows operand_rows(std::int64_t num_rows, std::int64_t cols, Format format,
                                       Context& context);
/// `weight`: one of them.
void launch(const Gemm& gemm, const WeightView& weight, Output output, Context& context);

void gemm_f8(const Gemm& gemm, Output output, Context& context);
void gemm_bf16(const Gemm& gemm, Output output, Context& context);
/// Of experts: kInner and kRows.
void gemm_int4_g128(const Gemm& gemm, Output output, Context& context);
void gemm_int4_g32(const Gemm& gemm, Output output, Context& context);

}  // namespace m2::cuda::sm90
