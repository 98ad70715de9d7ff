#include "ops/moe_experts.h"

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/expert_passes.h"
#include "cuda/expert_row_tiles.cuh"
#include "cuda/expert_stream.cuh"
#include "cuda/few_tokens_experts.cuh"
#include "cuda/few_tokens_route.h"
#include "cuda/int4_experts.h"
#include "cuda/plain_experts.h"

namespace m2::cuda {
namespace {

constexpr std::int64_t kPassTokens = 256;  // that a block sorts; more of them share no weights

bool can_stream(const ExpertWeights& expert, const Context& context) {
  return context.has_bulk_copies && fits_stream(expert.gate) && fits_stream(expert.up) &&
         fits_stream(expert.down) && expert.down.dtype == expert.gate.dtype &&
         pieces_of_warp(stream_shape(expert.gate)) > 0 &&
         pieces_of_warp(stream_shape(expert.down)) > 0;
}

template <DType kType>
bool stream_few_tokens(const MoeExpertsArgs& args, const RouterScores* scores, Context& context) {
  constexpr int kPieces = kType == DType::kF8E4M3 ? 2 : 4;  // the published widths
  using Exact = FewTokensBlock<kType, kPieces, kPieces / 2, true>;
  using Any = FewTokensBlock<kType, 4, 4, false>;
  const ExpertWeights& expert = args.experts.front();
  return Exact::fits_exactly(stream_shape(expert.gate), stream_shape(expert.down))
             ? few_tokens_experts<Exact>(args, scores, context)
             : few_tokens_experts<Any>(args, scores, context);
}

template <DType kType>
bool stream(const MoeExpertsArgs& args, const RouterScores* scores, Context& context) {
  const ExpertWeights& expert = args.experts.front();
  const StreamShape gate = stream_shape(expert.gate);
  const StreamShape down = stream_shape(expert.down);
  constexpr int kPieces = kType == DType::kF8E4M3 ? 2 : 4;  // the published widths
  using Gate = ExpertRowTiles<kType, kTileTokens, kPieces, true>;
  using Down = ExpertRowTiles<kType, kTileTokens, kPieces / 2, true>;
  using Any = ExpertRowTiles<kType, kTileTokens, 4, false>;
  if (!Gate::fits_exactly(gate) || !Down::fits_exactly(down)) {
    return stream_experts<Any, Any>(args, scores, gate, down, context);
  }
  if constexpr (kType == DType::kF8E4M3) {
    constexpr int kFewTokens = 64;  // of the batch: hardly any expert has more than a tile of eight
    if (args.hidden_states.shape[0] > kFewTokens) {
      return stream_experts<ExpertRowTiles<kType, 2 * kTileTokens, kPieces, true>,
                            ExpertRowTiles<kType, 2 * kTileTokens, kPieces / 2, true>>(
          args, scores, gate, down, context);
    }
  }
  return stream_experts<Gate, Down>(args, scores, gate, down, context);
}

void plain_experts(const MoeExpertsArgs& args, Context& context) {
  const auto num_slots = static_cast<std::size_t>(args.topk_ids.num_elements());
  const ExpertWeights& first = args.experts.front();
  const ExpertPointers* table = context.expert_tables.find(args.experts, context.stream);
  const ExpertGroupsView groups = group_by_expert(args, kPlainTokens, context);
  auto* inner =
      context.expert_inner.get<float>(num_slots * static_cast<std::size_t>(first.gate.rows));
  auto* down =
      context.expert_down.get<float>(num_slots * static_cast<std::size_t>(first.down.rows));
  plain_gate_up(args, groups, table, inner, context);
  plain_down(args, groups, table, inner, down, context);
  combine_experts(down, args, context);
}

}  // namespace

void moe_experts(const MoeExpertsArgs& args, const RouterScores* scores, Context& context) {
  check(args);
  if (args.topk_ids.num_elements() == 0) return;
  const auto choose = [&] {
    if (scores != nullptr) choose_by_scores(*scores, args.topk_ids, args.topk_weights, context);
  };
  if (sm90::fits_experts(args, context)) {
    choose();
    return sm90::experts(args, nullptr, context);
  }
  if (has_int4_experts(args)) return int4_experts(args, scores, context);
  bool streamed = false;
  for_weight_type(args.experts.front().gate.dtype, [&](auto type) {
    if constexpr (type.value != DType::kF32) {
      if (!can_stream(args.experts.front(), context)) return;
      const auto run = [&](const MoeExpertsArgs& pass, const RouterScores* of_pass) {
        return stream<type.value>(pass, of_pass, context);
      };
      streamed = stream_few_tokens<type.value>(args, scores, context) ||
                 run_passes(args, scores, kPassTokens, run);
    }
  });
  if (!streamed) {
    choose();
    plain_experts(args, context);
  }
  check_launch("moe_experts");
}

}  // namespace m2::cuda
