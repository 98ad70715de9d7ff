// Operations on many tokens: the dispatch and the memory of the kernels in this folder.
#pragma once

#include <span>

#include "cuda/sm90/tensor_maps.h"
#include "ops/attention_block.h"
#include "ops/moe_block.h"

namespace m2::cuda {

struct Context;

namespace sm90 {

struct OperandRows;

/// What the operations keep between calls. The two row buffers take turns as the operand and the
/// result of a product.
struct Prefill {
  GemmTables tables;
  Workspace row_of_slot;         // [T * K] i32
  Workspace tiles;               // TokenTile, as many as there can be
  Workspace counts;              // [2] i32: tiles and rows
  Workspace operands;            // tokens, then the rows between gate-up and down
  Workspace results;             // what gate-up gives, then what down gives
  Workspace scales;              // of the operands
  Workspace f8_tokens;           // [T, H] of the experts
  Workspace f8_scales;           // [T]
  Workspace weight_parts;        // bf16 parts of an F32 weight
  Workspace heads;               // bf16 rows of q, then of k and v
  Workspace attention_counters;  // [2] i32: see prefill_attention.cu
};

/// Whether products of this many tokens are made here: the device has wgmma, the weights fit it,
/// and there are more tokens than the row stream is made for.
[[nodiscard]] bool fits_experts(const MoeExpertsArgs& args, const Context& context);
/// `tokens`, or none: F8 rows of args.hidden_states, which itself is not read then.
void experts(const MoeExpertsArgs& args, const OperandRows* tokens, Context& context);
/// Whether the experts of a block take F8 rows from the second norm. `gate`: the router's product.
[[nodiscard]] bool norms_into_experts(const MoeBlockArgs& args, const LinearArgs& gate,
                                      const Context& context);
/// The norm and `gate`, the router's product; returns the rows for experts(). The norm's output
/// stays unwritten.
[[nodiscard]] OperandRows norm_into_experts(const MoeBlockArgs& args, const LinearArgs& gate,
                                            Context& context);

[[nodiscard]] bool fits_linears(std::span<const LinearArgs> products, const Context& context);
/// `norm`, or none: gives the products' input. Its output may stay unwritten, but not where the
/// weights are F32. Between the parts of an attention block inputs and outputs may be bf16; not
/// those of F32 weights, nor outputs that accumulate.
void linears(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context);
/// A norm and the product of its output with F32 weights; that output itself goes to `f8` alone.
void norm_linear_f8(const RmsNormArgs& norm, const LinearArgs& args, const OperandRows& f8,
                    Context& context);

/// Sequences with at most this many queries are left to the streaming kernel.
constexpr int kFewQueries = 16;
[[nodiscard]] bool fits_prefill_attention(const AttentionArgs& args, const Context& context);
/// Queries and the output as bf16, or absent: as `args` has them.
struct AttentionRows {
  const void* q = nullptr;  // [T, Nq, 128] bf16
  void* output = nullptr;   // the same, may be q
};
void prefill_attention(const AttentionArgs& args, const AttentionRows& rows, Context& context);

/// Whether a block keeps q, k, v and the attention's output as bf16.
[[nodiscard]] bool fits_attention_block(const AttentionBlockArgs& args, const Context& context);
void attention_block(const AttentionBlockArgs& args, Context& context);

}  // namespace sm90
}  // namespace m2::cuda
