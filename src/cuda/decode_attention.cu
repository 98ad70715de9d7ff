#include "cuda/decode_attention.h"

#include <algorithm>
#include <bit>

#include "cuda/alignment.h"
#include "cuda/decode_attention.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

// Longer contexts are bound by the read rate, which streaming_attention comes closer to.
constexpr std::int64_t kMostContext = 4096;
constexpr std::int64_t kFewestKeys = 128;  // of a block

template <DType kType>
__global__ void __launch_bounds__(kDecodeThreads, 1)
    decode_attention_kernel(const DecodeAttention args) {
  extern __shared__ uint4 shared[];
  DecodePart<kType> part(args, *reinterpret_cast<DecodeShared*>(shared));
  part.load_first();
  begin_kernel();
  part.run();
}

bool fits(const QkNormRopeArgs& rotate, const KvAppendArgs& append, const AttentionArgs& args,
          const Context& context) {
  const std::int64_t sequences = args.context_lens.shape[0];
  const std::int64_t heads = args.cache.num_kv_heads();
  const auto half = static_cast<std::uint64_t>(rotate.cos.shape[1]);
  bool aligned = true;
  for (const TensorView& tensor :
       {rotate.q, rotate.k, rotate.q_weight, rotate.k_weight, rotate.cos, rotate.sin, append.v,
        args.output, args.cache.keys, args.cache.values}) {
    aligned = aligned && is_aligned(tensor.data);
  }
  return aligned && fits_streaming_attention(args) && args.max_queries == 1 &&
         args.max_context_len <= kMostContext && !args.key_mask.present() &&
         args.q.shape[0] == sequences && sequences * heads <= context.num_sms &&
         args.cache.head_dim() == kDecodeDim && args.q.shape[1] / heads <= kDecodeRows &&
         half % 4 == 0 && std::has_single_bit(half / 4) && half <= kDecodeDim / 2;
}

}  // namespace

bool decode_attention(const QkNormRopeArgs& rotate, const KvAppendArgs& append,
                      const AttentionArgs& args, Context& context) {
  if (args.q.num_elements() == 0 || !fits(rotate, append, args, context)) return false;
  const AttentionView view = attention_view(args);
  const std::int64_t heads = std::int64_t{view.num_seqs} * view.num_kv_heads;
  const std::int64_t most = (args.max_context_len + kFewestKeys - 1) / kFewestKeys;
  const std::int64_t parts = std::clamp<std::int64_t>(
      context.num_sms / heads, 1, std::clamp<std::int64_t>(most, 1, kMostDecodeParts));
  const auto num_heads = static_cast<std::size_t>(heads);
  const DecodeAttention call = {
      .view = view,
      .k = rotate.k.as<float>(),
      .v = append.v.as<float>(),
      .q_weight = rotate.q_weight.as<float>(),
      .k_weight = rotate.k_weight.as<float>(),
      .cos = rotate.cos.as<float>(),
      .sin = rotate.sin.as<float>(),
      .half = static_cast<int>(rotate.cos.shape[1]),
      .eps = rotate.eps,
      .slot_mapping = append.slot_mapping.as<std::int64_t>(),
      .partials = context.attention_partials.get<DecodePartial>(num_heads *
                                                                static_cast<std::size_t>(parts)),
      .part_counters = context.attention_counters.get_zeroed<int>(num_heads, context.stream),
      .parts = static_cast<int>(parts)};
  const auto start = [&](auto kernel) {
    constexpr int kBytes = sizeof(DecodeShared);
    allow_shared_memory(kernel, kBytes);
    launch_kernel(context, kernel, static_cast<unsigned>(heads * parts), kDecodeThreads, kBytes,
                  call);
  };
  if (args.cache.format == KvFormat::kBF16) {
    start(decode_attention_kernel<DType::kBF16>);
  } else {
    start(decode_attention_kernel<DType::kF8E4M3>);
  }
  return true;
}

}  // namespace m2::cuda
