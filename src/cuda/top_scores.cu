// The best scores of rows, piece by piece: every block sorts a piece of a row and keeps its best,
// which are the row of the next pass, until one piece is left.
#include "ops/top_scores.h"

#include <cub/block/block_load.cuh>
#include <cub/block/block_radix_sort.cuh>

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kItems = 16;  // of a thread, side by side
constexpr int kPiece = kThreads * kItems;
constexpr std::uint32_t kNothing = 0;  // below the rank of every score

// A row of scores, or of what an earlier pass left: ranks and ids.
struct TopInput {
  const float* scores;         // [T, width], or null
  const std::uint32_t* ranks;  // [T, width]
  const std::int32_t* ids;     // [T, width]
  std::int64_t width;
};

// [T, pieces, count]. The last pass writes scores, those before it ranks.
struct TopOutput {
  std::uint32_t* ranks;
  std::int32_t* ids;
  float* scores;
  int count;
};

using Sort = cub::BlockRadixSort<std::uint32_t, kThreads, kItems, std::int32_t>;
template <typename T>
using Load = cub::BlockLoad<T, kThreads, kItems, cub::BLOCK_LOAD_WARP_TRANSPOSE>;

union TopShared {
  typename Load<float>::TempStorage scores;
  typename Load<std::uint32_t>::TempStorage ranks;
  typename Load<std::int32_t>::TempStorage ids;
  typename Sort::TempStorage sort;
};

// Equal ranks keep their order, that of the ids: the sort is stable, and pieces follow one another.
__global__ void __launch_bounds__(kThreads)
    top_scores_kernel(TopInput input,
                      const float* scores,  // [T, num_scores]
                      std::int64_t num_scores, TopOutput output) {
  __shared__ TopShared shared;
  begin_kernel();
  const std::int64_t row = blockIdx.y;
  const std::int64_t begin = std::int64_t{blockIdx.x} * kPiece;
  const std::int64_t from = row * input.width + begin;
  const int valid = static_cast<int>(min(std::int64_t{kPiece}, input.width - begin));
  std::uint32_t ranks[kItems];
  std::int32_t ids[kItems];
  if (input.scores != nullptr) {
    float values[kItems];
    Load<float>(shared.scores).Load(input.scores + from, values, valid, 0.0F);
    for (int i = 0; i < kItems; ++i) {
      const int offset = static_cast<int>(threadIdx.x) * kItems + i;
      ranks[i] = offset < valid ? score_rank(values[i]) : kNothing;
      ids[i] = static_cast<std::int32_t>(begin) + offset;
    }
  } else {
    Load<std::uint32_t>(shared.ranks).Load(input.ranks + from, ranks, valid, kNothing);
    __syncthreads();
    Load<std::int32_t>(shared.ids).Load(input.ids + from, ids, valid, 0);
  }
  __syncthreads();
  Sort(shared.sort).SortDescendingBlockedToStriped(ranks, ids);
  const std::int64_t to = (row * gridDim.x + blockIdx.x) * output.count;
  for (int i = 0; i < kItems; ++i) {
    const int place = i * kThreads + static_cast<int>(threadIdx.x);
    if (place >= output.count) break;
    output.ids[to + place] = ids[i];
    if (output.scores != nullptr) {
      output.scores[to + place] = scores[row * num_scores + ids[i]];
    } else {
      output.ranks[to + place] = ranks[i];
    }
  }
}

}  // namespace

void top_scores(const TopScoresArgs& args, Context& context) {
  check(args);
  const std::int64_t num_rows = args.scores.shape[0];
  const std::int64_t num_scores = args.scores.shape[1];
  const std::int64_t count = args.top_ids.shape[1];
  M2_REQUIRE(ErrorCode::kUnsupported, count <= kPiece / 2, "cuda: top_scores finds up to ",
             kPiece / 2, " scores of a row, not ", count);
  if (num_rows == 0) return;
  TopInput input = {args.scores.as<float>(), nullptr, nullptr, num_scores};
  for (int pass = 0;; ++pass) {
    const std::int64_t pieces = (input.width + kPiece - 1) / kPiece;
    TopOutput output = {nullptr, args.top_ids.as<std::int32_t>(), args.top_scores.as<float>(),
                        static_cast<int>(count)};
    if (pieces > 1) {
      const auto size = static_cast<std::size_t>(num_rows * pieces * count);
      output.ranks = context.top_scores.ranks[pass % 2].get<std::uint32_t>(size);
      output.ids = context.top_scores.ids[pass % 2].get<std::int32_t>(size);
      output.scores = nullptr;
    }
    const dim3 grid(static_cast<unsigned>(pieces), static_cast<unsigned>(num_rows));
    launch_kernel(context, top_scores_kernel, grid, kThreads, 0, input, args.scores.as<float>(),
                  num_scores, output);
    check_launch("top_scores");
    if (pieces == 1) return;
    input = {nullptr, output.ranks, output.ids, pieces * count};
  }
}

}  // namespace m2::cuda
