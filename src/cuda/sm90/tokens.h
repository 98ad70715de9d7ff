// Activations as the many-token products take them.
#pragma once

#include "cuda/context.h"
#include "cuda/sm90/gemm.h"
#include "ops/moe_experts.h"
#include "ops/rms_norm.h"

namespace m2::cuda::sm90 {

/// The tokens of a batch by their experts.
struct TokenRows {
  const std::int32_t* row_of_slot;  // [T * K]
  const TokenTile* tiles;
  const std::int32_t* num_tiles;  // [1]
  const std::int32_t* num_rows;   // [1], padding included
  int max_rows;                   // that there can be
};

[[nodiscard]] TokenRows group_tokens(const MoeExpertsArgs& args, Format format, Context& context);

/// Row t of the input to row t, or to those of its K slots.
void convert_tokens(const TensorView& input,  // [T, K] f32 or bf16
                    const TokenRows* groups, int top_k, Format format, const OperandRows& to,
                    const Context& context);
/// F8 rows [T, H] to the rows of their K slots.
void copy_rows(const OperandRows& from, const MoeExpertsArgs& args, const TokenRows& groups,
               const OperandRows& to, const Context& context);
/// Whether rows can be normed by the two functions below.
[[nodiscard]] bool can_norm_rows(const RmsNormArgs& norm);
/// rms_norm and the conversion of its output to F8, which itself is not written.
void norm_tokens(const RmsNormArgs& norm, const OperandRows& to, const Context& context);
/// rms_norm and split_rows of its output, which itself goes to `f8` where there is that.
void norm_split_rows(const RmsNormArgs& norm, void* to, const OperandRows* f8,
                     const Context& context);
/// The rows of `groups`, in place.
void convert_inner(const void* input,  // [rows, cols] bf16
                   int cols, const TokenRows& groups, Format format, const OperandRows& to,
                   const Context& context);
/// High and low bf16 parts, [T, 2 K]; of weights high, high, low, [N, 3 K].
void split_rows(const float* input, std::int64_t num_rows, int cols, bool weights, void* to,
                const Context& context);
/// output += the weighted sum over a token's rows, in the router's order.
void combine_rows(const void* down,  // [rows, H] bf16
                  const MoeExpertsArgs& args, const TokenRows& groups, const Context& context);

}  // namespace m2::cuda::sm90
