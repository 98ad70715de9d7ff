// The attention half of a layer for many tokens: what its parts give each other is BF16, which
// halves what they write and read.
#include <algorithm>

#include "cuda/attention.cuh"
#include "cuda/sm90/gemm_call.h"
#include "cuda/sm90/rotate.h"

namespace m2::cuda::sm90 {
namespace {

bool multiplied_here(const WeightView& weight) {
  const bool plain = weight.dtype == DType::kF8E4M3 || weight.dtype == DType::kBF16;
  return plain && fits_gemm(weight);
}

TensorView bf16_rows(void* data, const TensorView& like) {
  return {data, DType::kBF16, like.shape};
}

}  // namespace

bool fits_attention_block(const AttentionBlockArgs& args, const Context& context) {
  return fits_linears(args.projections, context) && fits_linears({&args.output, 1}, context) &&
         multiplied_here(args.projections[0].weight) && multiplied_here(args.output.weight) &&
         std::ranges::none_of(args.projections, &LinearArgs::accumulate) &&
         fits_rotate(args.rotate, args.append) && fits_prefill_attention(args.attention, context);
}

void attention_block(const AttentionBlockArgs& args, Context& context) {
  const auto elements = [](const TensorView& tensor) {
    return static_cast<std::size_t>(tensor.num_elements());
  };
  const std::size_t q_size = elements(args.rotate.q);
  const std::size_t kv_size = elements(args.rotate.k);
  auto* q = context.prefill.heads.get<std::uint16_t>(q_size + 2 * kv_size);
  const HeadRows rows = {.q = q, .k = q + q_size, .v = q + q_size + kv_size};
  auto projections = args.projections;
  projections[0].output = bf16_rows(rows.q, projections[0].output);
  projections[1].output = bf16_rows(rows.k, projections[1].output);
  projections[2].output = bf16_rows(rows.v, projections[2].output);
  linears(projections, &args.norm, context);
  // The others of several sequences may have few queries and take the streaming kernel, which
  // knows float32 alone.
  const bool mixed = args.attention.context_lens.shape[0] > 1;
  rotate_and_append(rows, args.rotate, args.append, mixed, context);
  LinearArgs output = args.output;
  if (mixed) {
    prefill_attention(args.attention, {.q = rows.q}, context);
    AttentionArgs others = args.attention;
    others.max_queries = kFewQueries;
    streaming_attention(others, context);
  } else {
    // A head's rows are read before they are overwritten.
    prefill_attention(args.attention, {.q = rows.q, .output = rows.q}, context);
    output.input = bf16_rows(rows.q, output.input);
  }
  linears({&output, 1}, nullptr, context);
}

}  // namespace m2::cuda::sm90
