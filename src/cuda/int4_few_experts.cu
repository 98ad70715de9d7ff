#include "cuda/int4_few_experts.h"

#include "cuda/expert_stream.cuh"
#include "cuda/int4_tiles.cuh"

namespace m2::cuda {
namespace {

Int4Shape shape_of(const WeightView& weight) {
  return {static_cast<int>(weight.rows), static_cast<int>(weight.cols)};
}

template <int kGroup>
bool stream(const MoeExpertsArgs& args, Context& context) {
  using Gate = Int4Tiles<kGroup, 2>;
  using Down = Int4Tiles<kGroup, 1>;
  const Int4Shape gate = shape_of(args.experts.front().gate);
  const Int4Shape down = shape_of(args.experts.front().down);
  // Of the batch. Beyond these int4_experts.cu is faster (H200, measured at powers of two).
  constexpr std::int64_t kMostTokens = kGroup == 128 ? 16 : 4;
  return args.hidden_states.shape[0] <= kMostTokens && Gate::fits(gate) && Down::fits(down) &&
         stream_experts<Gate, Down>(args, gate, down, context);
}

}  // namespace

bool int4_few_experts(const MoeExpertsArgs& args, Context& context) {
  bool done = false;
  for_int4_group(args.experts.front().gate,
                 [&](auto group) { done = stream<group()>(args, context); });
  return done;
}

}  // namespace m2::cuda
