#include "cuda/attention.cuh"

#include "base/error.h"
#include "cuda/decode_attention.h"

namespace m2::cuda {

AttentionView attention_view(const AttentionArgs& args) {
  const KvCacheView& cache = args.cache;
  const auto size = [](std::int64_t value) { return static_cast<int>(value); };
  const bool padded = args.key_mask.present();
  const bool masked = args.mask.present();
  return {
      .q = args.q.as<float>(),
      .keys = cache.keys.data,
      .values = cache.values.data,
      .cu_seqlens = args.cu_seqlens.as<std::int32_t>(),
      .context_lens = args.context_lens.as<std::int32_t>(),
      .key_begin = args.key_begin.as<std::int32_t>(),
      .key_end = args.key_end.as<std::int32_t>(),
      .block_tables = args.block_tables.as<std::int32_t>(),
      .key_mask = padded ? args.key_mask.as<std::uint8_t>() : nullptr,
      .mask = args.mask.data,
      .output = args.output.as<float>(),
      .probabilities = args.probabilities.present() ? args.probabilities.as<float>() : nullptr,
      .num_seqs = size(args.context_lens.shape[0]),
      .num_heads = size(args.q.shape[1]),
      .num_kv_heads = size(cache.num_kv_heads()),
      .head_dim = size(cache.head_dim()),
      .block_size = size(cache.block_size()),
      .max_blocks = size(args.block_tables.shape[1]),
      .key_mask_cols = padded ? size(args.key_mask.shape[1]) : 0,
      .mask_seqs = masked ? size(args.mask.shape[0]) : 0,
      .mask_heads = masked ? size(args.mask.shape[1]) : 0,
      .max_queries = size(args.max_queries),
      .max_context_len = size(args.max_context_len),
      .mask_is_bool = args.mask.dtype == DType::kBool,
      .uniform_when_masked = args.fully_masked == FullyMasked::kUniform,
      .scale = args.scale,
      .dropout = args.dropout,
      .dropout_seed = args.dropout_seed,
  };
}

void attention(const AttentionArgs& args, Context& context) {
  check(args);
  M2_REQUIRE(ErrorCode::kUnsupported, !args.cache.quantized.present(),
             "cuda: attention: quantised blocks of the KV cache are not supported");
  if (args.q.num_elements() == 0) return;
  if (sm90::fits_prefill_attention(args, context)) {
    sm90::prefill_attention(args, {}, context);
    // A batch of one sequence has no others.
    if (args.context_lens.shape[0] > 1) {
      AttentionArgs others = args;
      others.max_queries = sm90::kFewQueries;
      streaming_attention(others, context);
    }
  } else if (fits_streaming_attention(args, context)) {
    streaming_attention(args, context);
  } else {
    plain_attention(args, context);
  }
  check_launch("attention");
}

void attention_block(const AttentionBlockArgs& args, Context& context) {
  check(args.norm);
  for (const LinearArgs& projection : args.projections) check(projection);
  check(args.rotate);
  check(args.append);
  check(args.attention);
  check(args.output);
  if (sm90::fits_attention_block(args, context)) {
    sm90::attention_block(args, context);
    return check_launch("attention_block");
  }
  norm_linears(args.norm, args.projections, context);
  if (decode_attention(args.rotate, args.append, args.attention, context)) {
    check_launch("attention_block");
  } else {
    qk_norm_rope_append(args.rotate, args.append, context);
    attention(args.attention, context);
  }
  linear(args.output, context);
}

}  // namespace m2::cuda
