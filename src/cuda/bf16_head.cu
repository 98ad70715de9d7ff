#include "cuda/bf16_head.h"

#include "cuda/alignment.h"
#include "cuda/claimed_tiles.cuh"

namespace m2::cuda {
namespace {

constexpr int kGroupCols = 32;  // sixteen bytes of a row for each of four lanes

// A warp's columns of the tokens: token lane / 4, as two bf16 a number.
template <int kGroups>
class Bf16Tile {
 public:
  static constexpr int kCols = kTileWarps * kGroups * kGroupCols;

  __host__ __device__ static int num_bytes(int /*cols*/) { return kTileRows * kRowBytes; }
  __host__ __device__ static int slot_bytes(int /*cols*/) { return kTileRows * kPitch; }
  __device__ static void copy(const void* weight, int tile, int /*cols*/, std::uint32_t to,
                              std::uint32_t barrier) {
    const int row = static_cast<int>(threadIdx.x) % 32;
    if (row >= kTileRows) return;
    const std::int64_t from = (std::int64_t{tile} * kTileRows + row) * kRowBytes;
    copy_weights(to + row * kPitch, static_cast<const char*>(weight) + from, kRowBytes, barrier);
  }

  template <bool kNormed>
  __device__ float fill(const TileLinear& args, int warp) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int token = lane / 4;
    const int first = warp * kGroups * kGroupCols + lane % 4 * 8;
    first_byte_ = lane / 4 * kPitch + first * 2;
    const bool used = token < args.num_tokens;
    const float* row = args.input + std::int64_t{used ? token : 0} * kCols + first;
    float4 numbers[kGroups][2];
    for_each_quad([&](int g, int step) {
      const auto* from = reinterpret_cast<const float4*>(row + g * kGroupCols + step * 4);
      numbers[g][step] = used ? *from : float4{};
    });
    float squares = 0.0F;
    for_each_quad([&](int g, int step) {
      float4& x = numbers[g][step];
      if constexpr (kNormed) {
        const float* weight = args.norm_weight + first + g * kGroupCols + step * 4;
        const float4 w = __ldg(reinterpret_cast<const float4*>(weight));
        squares += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
        x = {x.x * w.x, x.y * w.y, x.z * w.z, x.w * w.w};
      }
      tokens_[g][step] = split_quad<true>(x);
    });
    return squares;
  }

  __device__ void add(std::uint32_t slot, float (&sums)[4]) const {
    float products[2][2][4] = {};  // four chains hide each other's latency
    const std::uint32_t upper_rows = slot + first_byte_;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const uint4 upper = load_shared(upper_rows + g * kGroupCols * 2);
      const uint4 lower = load_shared(upper_rows + kTileRows / 2 * kPitch + g * kGroupCols * 2);
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const WeightPairs rows[2] = {weight_pairs<DType::kBF16>(upper, step),
                                     weight_pairs<DType::kBF16>(lower, step)};
        mma<true>(products[step][0], rows[0], rows[1], tokens_[g][step].high);
        mma<true>(products[step][1], rows[0], rows[1], tokens_[g][step].low);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[i] = (products[0][0][i] + products[1][0][i]) + (products[0][1][i] + products[1][1][i]);
    }
  }

 private:
  template <typename Use>
  __device__ static void for_each_quad(const Use& use) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int step = 0; step < 2; ++step) use(g, step);
    }
  }

  static constexpr int kRowBytes = 2 * kCols;
  static constexpr int kPitch = kRowBytes + 64;  // rows that are read together meet other banks

  SplitQuad tokens_[kGroups][2];
  std::uint32_t first_byte_;  // of the lane, in a slot
};

using HeadTile = Bf16Tile<8>;

}  // namespace

bool bf16_head(const LinearArgs& args, const RmsNormArgs* norm, Context& context) {
  // Of a block: with fewer it matters what else there is to do.
  constexpr int kMinTiles = 4;
  // Fewer take 288 to 293 us with sm90/folded_linear.cu as with this (H200, 200,064 rows); four 297
  // and 290, eight 327 (sm90/row_tiles.cu) and 288.
  constexpr int kMinTokens = 4;
  const WeightView& weight = args.weight;
  const TensorView& input = norm == nullptr ? args.input : norm->input;
  const bool fits = context.has_bulk_copies && weight.dtype == DType::kBF16 &&
                    weight.block_format == BlockFormat::kNone && weight.cols == HeadTile::kCols &&
                    weight.rows % kTileRows == 0 &&
                    weight.rows >= std::int64_t{kMinTiles} * kTileRows * context.num_sms &&
                    input.shape[0] >= kMinTokens && input.shape[0] <= kTileTokens &&
                    is_aligned(weight.data) && is_aligned(input.data) &&
                    (norm == nullptr || is_aligned(norm->weight.data));
  if (fits) launch_tiles<HeadTile>({&args, 1}, norm, context);
  return fits;
}

}  // namespace m2::cuda
