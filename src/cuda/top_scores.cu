// The best scores of rows, piece by piece: every block keeps the best of a piece of a row, which
// are the row of the next pass, until one piece is left.
//
// Four threads hold a group of the piece. As many groups as are wanted reach the wanted-th largest
// of the groups' best, so what is less is out, and what is left, hardly more than wanted, takes its
// place by counting those before it. All of it waits for results more than it works: many threads
// have little to do each.
#include "ops/top_scores.h"

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kItems = 8;    // of a thread
constexpr int kSharing = 4;  // threads of a group, or that count for a key together
constexpr int kPiece = kThreads * kItems;
constexpr int kGroups = kThreads / kSharing;  // the most that can be wanted

// A rank, then the complement of an id: keys differ, and the larger comes first. Zero for nothing.
using Key = unsigned long long;

// A row of scores, or of what an earlier pass left.
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

__device__ Key key_of(std::uint32_t rank, std::int32_t id) {
  return Key{rank} << 32U | ~static_cast<std::uint32_t>(id);
}

__device__ std::int32_t id_of(Key key) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(key));
}

// Neighbours among an earlier pass's best are of falling rank: the shift spreads them over groups.
__device__ int place_in_piece(int item) {
  constexpr int kShift = 37;
  return item * kThreads + (static_cast<int>(threadIdx.x) + item * kShift) % kThreads;
}

// All loads of a thread are on their way together: places behind the row's end read its last one.
__device__ void read_piece(const TopInput& input, Key (&keys)[kItems]) {
  const std::int64_t begin = std::int64_t{blockIdx.x} * kPiece;
  const std::int64_t from = blockIdx.y * input.width + begin;
  const int valid = static_cast<int>(min(std::int64_t{kPiece}, input.width - begin));
  if (input.scores != nullptr) {
    float scores[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      scores[i] = input.scores[from + min(place_in_piece(i), valid - 1)];
    }
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const auto id = static_cast<std::int32_t>(begin) + place_in_piece(i);
      keys[i] = key_of(score_rank(scores[i]), id);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const std::int64_t at = from + min(place_in_piece(i), valid - 1);
      keys[i] = key_of(input.ranks[at], input.ids[at]);
    }
  }
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    if (place_in_piece(i) >= valid) keys[i] = 0;
  }
}

// For kSharing neighbouring threads, of each of which this is `share`.
__device__ int count_larger(const Key* keys, int num_keys, Key key, int share) {
  int count = 0;
#pragma unroll 8
  for (int i = share; i < num_keys; i += kSharing) count += keys[i] > key ? 1 : 0;
  for (int step = 1; step < kSharing; step *= 2) count += __shfl_xor_sync(kAllLanes, count, step);
  return count;
}

__device__ Key best_of_group(const Key (&keys)[kItems]) {
  Key best = 0;
#pragma unroll
  for (const Key key : keys) best = max(best, key);
  for (int step = 1; step < kSharing; step *= 2) {
    best = max(best, __shfl_xor_sync(kAllLanes, best, step));
  }
  return best;
}

// `score`: of the key, where the last pass writes it.
__device__ void write(const TopOutput& output, int place, Key key, float score) {
  const std::int64_t to =
      (std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * output.count + place;
  output.ids[to] = id_of(key);
  if (output.scores == nullptr) {
    output.ranks[to] = static_cast<std::uint32_t>(key >> 32U);
  } else {
    output.scores[to] = score;
  }
}

__global__ void __launch_bounds__(kThreads)
    top_scores_kernel(TopInput input,
                      const float* scores,  // [T, num_scores]
                      std::int64_t num_scores, TopOutput output) {
  __shared__ Key best[kGroups];
  __shared__ Key kept[kPiece];
  __shared__ Key least;
  __shared__ int num_kept;
  const int group = static_cast<int>(threadIdx.x) / kSharing;
  const int share = static_cast<int>(threadIdx.x) % kSharing;
  begin_kernel();
  Key keys[kItems];
  read_piece(input, keys);
  const Key mine = best_of_group(keys);
  best[group] = mine;
  if (threadIdx.x == 0) {
    least = 1;  // stays where fewer groups have anything
    num_kept = 0;
  }
  __syncthreads();
  if (count_larger(best, kGroups, mine, share) == output.count - 1 && mine != 0) least = mine;
  __syncthreads();
  const Key bound = least;
  int num_mine = 0;
#pragma unroll
  for (const Key key : keys) num_mine += key >= bound ? 1 : 0;
  if (num_mine > 0) {
    int to = atomicAdd(&num_kept, num_mine);
#pragma unroll
    for (const Key key : keys) {
      if (key >= bound) kept[to++] = key;
    }
  }
  __syncthreads();
  const int count = num_kept;
  for (int first = 0; first < count; first += kGroups) {
    const Key key = kept[min(first + group, count - 1)];
    const bool writes = share == 0 && first + group < count;
    float score = 0.0F;  // on its way while others are counted
    if (writes && output.scores != nullptr) score = scores[blockIdx.y * num_scores + id_of(key)];
    const int place = count_larger(kept, count, key, share);
    if (writes && place < output.count) write(output, place, key, score);
  }
  // Only a piece of an earlier pass can be shorter than what is wanted.
  for (int i = count + static_cast<int>(threadIdx.x); i < output.count; i += kThreads) {
    write(output, i, 0, 0.0F);
  }
}

}  // namespace

void top_scores(const TopScoresArgs& args, Context& context) {
  check(args);
  const std::int64_t num_rows = args.scores.shape[0];
  const std::int64_t num_scores = args.scores.shape[1];
  const std::int64_t count = args.top_ids.shape[1];
  M2_REQUIRE(ErrorCode::kUnsupported, count <= kGroups, "cuda: top_scores finds up to ", kGroups,
             " scores of a row, not ", count);
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
