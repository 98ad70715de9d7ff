#include "cuda/decode_attention.h"

#include <algorithm>
#include <array>
#include <bit>

#include "cuda/alignment.h"
#include "cuda/cluster_launch.h"
#include "cuda/decode_attention.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

// Longer contexts are bound by the read rate, which streaming_attention comes closer to.
constexpr std::int64_t kMostContext = 4096;
constexpr int kBytes = sizeof(DecodeShared<DType::kBF16>);  // as much as with F8

template <DType kType>
__global__ void __launch_bounds__(kDecodeThreads, 1)
    decode_attention_kernel(const DecodeAttention args) {
  extern __shared__ uint4 shared[];
  DecodePart<kType>(args, *reinterpret_cast<DecodeShared<kType>*>(shared)).run();
}

template <DType kType>
class Launcher {
 public:
  Launcher(std::int64_t heads, const Context& context) : heads_(heads), context_(context) {
    allow_shared_memory(decode_attention_kernel<kType>, kBytes);
  }

  /// Of a head's keys, a block each: as few as take all keys at once, or as many as run at once.
  [[nodiscard]] int parts(std::int64_t most_keys) const {
    constexpr std::int64_t kBlockKeys = kDecodeWarps * kKeys;
    const std::int64_t wanted = (most_keys + kBlockKeys - 1) / kBlockKeys;
    // Asked once, of the first device: others of the process are as good as always the same.
    static const std::array<int, kMostDecodeParts + 1> kAtOnce = count_at_once();
    int parts = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, kMostDecodeParts));
    while (parts > 1 && kAtOnce[static_cast<std::size_t>(parts)] < heads_) --parts;
    return parts;
  }

  void start(const DecodeAttention& call) const {
    launch(call.parts).start(decode_attention_kernel<kType>, call);
  }

 private:
  [[nodiscard]] ClusterLaunch launch(int parts) const {
    return {context_, static_cast<unsigned>(heads_ * parts), parts, kDecodeThreads, kBytes};
  }

  // By the number of parts.
  [[nodiscard]] std::array<int, kMostDecodeParts + 1> count_at_once() const {
    std::array<int, kMostDecodeParts + 1> counts = {};
    for (int parts = 1; parts <= kMostDecodeParts; ++parts) {
      counts[static_cast<std::size_t>(parts)] =
          launch(parts).most_at_once(decode_attention_kernel<kType>);
    }
    return counts;
  }

  std::int64_t heads_;
  const Context& context_;
};

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
  return context.has_bulk_copies && aligned && fits_streaming_attention(args, context) &&
         args.max_queries == 1 && args.max_context_len <= kMostContext &&
         !args.key_mask.present() && args.q.shape[0] == sequences &&
         sequences * heads <= context.num_sms && args.cache.head_dim() == kDecodeDim &&
         args.q.shape[1] / heads <= kDecodeRows && half % 4 == 0 && std::has_single_bit(half / 4) &&
         half <= kDecodeDim / 2;
}

}  // namespace

bool decode_attention(const QkNormRopeArgs& rotate, const KvAppendArgs& append,
                      const AttentionArgs& args, Context& context) {
  if (args.q.num_elements() == 0 || !fits(rotate, append, args, context)) return false;
  const AttentionView view = attention_view(args);
  const std::int64_t heads = std::int64_t{view.num_seqs} * view.num_kv_heads;
  const auto start = [&]<DType kType>() {
    const Launcher<kType> launcher(heads, context);
    launcher.start({.view = view,
                    .k = rotate.k.as<float>(),
                    .v = append.v.as<float>(),
                    .q_weight = rotate.q_weight.as<float>(),
                    .k_weight = rotate.k_weight.as<float>(),
                    .cos = rotate.cos.as<float>(),
                    .sin = rotate.sin.as<float>(),
                    .half = static_cast<int>(rotate.cos.shape[1]),
                    .eps = rotate.eps,
                    .slot_mapping = append.slot_mapping.as<std::int64_t>(),
                    .parts = launcher.parts(args.max_context_len)});
  };
  if (args.cache.format == KvFormat::kBF16) {
    start.template operator()<DType::kBF16>();
  } else {
    start.template operator()<DType::kF8E4M3>();
  }
  return true;
}

}  // namespace m2::cuda
