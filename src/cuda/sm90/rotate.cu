#include "cuda/sm90/rotate.h"

#include <bit>

#include "cuda/alignment.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 128;
constexpr int kHeadDim = 128;
constexpr int kHeadVectors = kHeadDim / 8;
// A thread has two vectors of a head, which the rotation pairs or leaves alone: up to four such
// pairs of q and one of k and of v.
constexpr int kHeld = 4;
constexpr int kHeadPairs = kHeadVectors / 2;

struct Rotation {
  HeadRows rows;
  const float4* q_weight;
  const float4* k_weight;
  const float4* cos;  // [T, R / 2]
  const float4* sin;
  const std::int64_t* slot_mapping;  // [T]
  void* keys;                        // [P, Nkv, B, 128] bf16 or F8
  void* values;
  float4* plain_q;  // [T, Nq * 128], or absent
  float eps;
  int q_vectors;  // of a token, eight numbers each
  int kv_vectors;
  int partner;  // how many vectors away the other half of a rotated vector is: R / 16
  int block_size;
  bool is_f8;
};

struct Eight {
  float x[8];

  __device__ static Eight unpack(uint4 packed) {
    const std::uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
    Eight result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(words[i]));
      result.x[2 * i] = pair.x;
      result.x[2 * i + 1] = pair.y;
    }
    return result;
  }
  __device__ static Eight load(const float4* from) {
    const float4 low = __ldg(from);
    const float4 high = __ldg(from + 1);
    return {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  }
  [[nodiscard]] __device__ uint4 pack() const {
    std::uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
      words[i] = reinterpret_cast<const std::uint32_t&>(pair);
    }
    return {words[0], words[1], words[2], words[3]};
  }
  [[nodiscard]] __device__ uint2 codes() const {
    std::uint32_t words[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* from = x + 4 * i;
      const auto low = __nv_cvt_float2_to_fp8x2({from[0], from[1]}, __NV_SATFINITE, __NV_E4M3);
      const auto high = __nv_cvt_float2_to_fp8x2({from[2], from[3]}, __NV_SATFINITE, __NV_E4M3);
      words[i] = low | std::uint32_t{high} << 16U;
    }
    return {words[0], words[1]};
  }
  [[nodiscard]] __device__ float squares() const {
    float sum = 0.0F;
#pragma unroll
    for (const float value : x) sum += value * value;
    return sum;
  }
};

// The sums of a block of two numbers.
__device__ float2 sums_of_block(float2 value) {
  constexpr int kWarps = kThreads / 32;
  __shared__ float2 scratch[kWarps];
  value = {sum_of_warp(value.x), sum_of_warp(value.y)};
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float2 sum = {};
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    sum.x += scratch[i].x;
    sum.y += scratch[i].y;
  }
  return sum;
}

// Where a thread's pair of vectors lies in its head, the same in all its heads, and its angles.
struct PairPlace {
  bool rotates;
  int first;
  int second;
  Eight cos;
  Eight sin;

  __device__ PairPlace(const Rotation& args, std::int64_t token) {
    const int index = static_cast<int>(threadIdx.x) % kHeadPairs;
    rotates = index < args.partner;
    first = rotates ? index : 2 * index;
    second = rotates ? index + args.partner : 2 * index + 1;
    if (!rotates) return;
    const std::int64_t at = (token * args.partner + index) * 2;
    cos = Eight::load(args.cos + at);
    sin = Eight::load(args.sin + at);
  }
};

struct Pair {
  uint4 first;
  uint4 second;

  [[nodiscard]] __device__ float squares() const {
    return Eight::unpack(first).squares() + Eight::unpack(second).squares();
  }
  // The compiler forgets the numbers, which take twice the registers.
  __device__ void stay_packed() {
    for (uint4* vector : {&first, &second}) {
      asm volatile("" : "+r"(vector->x), "+r"(vector->y), "+r"(vector->z), "+r"(vector->w));
    }
  }
};

// Numbers times weights, rotated.
struct RotatedPair {
  Eight first;
  Eight second;

  __device__ RotatedPair(const Pair& pair, float factor, const float4* weights,
                         const PairPlace& place)
      : first(Eight::unpack(pair.first)), second(Eight::unpack(pair.second)) {
    const Eight first_weights = Eight::load(weights + 2 * place.first);
    const Eight second_weights = Eight::load(weights + 2 * place.second);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float low = first_weights.x[i] * (first.x[i] * factor);
      const float high = second_weights.x[i] * (second.x[i] * factor);
      first.x[i] = place.rotates ? low * place.cos.x[i] - high * place.sin.x[i] : low;
      second.x[i] = place.rotates ? high * place.cos.x[i] + low * place.sin.x[i] : high;
    }
  }
};

__device__ void write_plain(float4* to, const Eight& eight) {
  to[0] = {eight.x[0], eight.x[1], eight.x[2], eight.x[3]};
  to[1] = {eight.x[4], eight.x[5], eight.x[6], eight.x[7]};
}

// One block a token, from the last one: what was written last is in the second cache.
__global__ void __launch_bounds__(kThreads, 4) rotate_kernel(Rotation args) {
  begin_kernel();
  const std::int64_t token = gridDim.x - 1 - blockIdx.x;
  const int head = static_cast<int>(threadIdx.x) / kHeadPairs;
  constexpr int kHeads = kThreads / kHeadPairs;  // at once
  const int kv_heads = args.kv_vectors / kHeadVectors;
  const int q_heads = args.q_vectors / kHeadVectors;
  const bool has_kv = head < kv_heads;
  const PairPlace place(args, token);
  uint4* q = static_cast<uint4*>(args.rows.q) + token * args.q_vectors;
  Pair held[kHeld] = {};
  Pair k = {};
  Pair v = {};
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int at = (i * kHeads + head) * kHeadVectors;
    if (i * kHeads + head < q_heads) held[i] = {q[at + place.first], q[at + place.second]};
  }
  if (has_kv) {
    const std::int64_t at = token * args.kv_vectors + head * kHeadVectors;
    const auto* from_k = static_cast<const uint4*>(args.rows.k) + at;
    const auto* from_v = static_cast<const uint4*>(args.rows.v) + at;
    k = {from_k[place.first], from_k[place.second]};
    v = {from_v[place.first], from_v[place.second]};
  }
  float2 sums = {0.0F, k.squares()};
#pragma unroll
  for (Pair& pair : held) {
    sums.x += pair.squares();
    pair.stay_packed();
  }
  k.stay_packed();
  sums = sums_of_block(sums);
  const float q_mean = sums.x / static_cast<float>(8 * args.q_vectors);
  const float k_mean = sums.y / static_cast<float>(8 * args.kv_vectors);
  const float q_factor = 1.0F / sqrtf(q_mean + args.eps);
  const float k_factor = 1.0F / sqrtf(k_mean + args.eps);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (i * kHeads + head >= q_heads) break;
    const int at = (i * kHeads + head) * kHeadVectors;
    const RotatedPair rotated(held[i], q_factor, args.q_weight + 2 * at, place);
    q[at + place.first] = rotated.first.pack();
    q[at + place.second] = rotated.second.pack();
    if (args.plain_q == nullptr) continue;
    float4* plain = args.plain_q + (token * args.q_vectors + at) * 2;
    write_plain(plain + 2 * place.first, rotated.first);
    write_plain(plain + 2 * place.second, rotated.second);
  }
  if (!has_kv) return;
  const RotatedPair rotated(k, k_factor, args.k_weight + 2 * head * kHeadVectors, place);
  const std::int64_t slot = args.slot_mapping[token];
  const std::int64_t row =
      (slot / args.block_size * kv_heads + head) * args.block_size + slot % args.block_size;
  const std::int64_t first = row * kHeadVectors + place.first;
  const std::int64_t second = row * kHeadVectors + place.second;
  if (args.is_f8) {
    auto* keys = static_cast<uint2*>(args.keys);
    auto* values = static_cast<uint2*>(args.values);
    keys[first] = rotated.first.codes();
    keys[second] = rotated.second.codes();
    values[first] = Eight::unpack(v.first).codes();
    values[second] = Eight::unpack(v.second).codes();
  } else {
    auto* keys = static_cast<uint4*>(args.keys);
    auto* values = static_cast<uint4*>(args.values);
    keys[first] = rotated.first.pack();
    keys[second] = rotated.second.pack();
    values[first] = v.first;
    values[second] = v.second;
  }
}

}  // namespace

bool fits_rotate(const QkNormRopeArgs& rotate, const KvAppendArgs& append) {
  const KvCacheView& cache = append.cache;
  const std::int64_t half = rotate.cos.shape[1];
  for (const TensorView& tensor : {rotate.q, rotate.q_weight, rotate.k_weight, rotate.cos,
                                   rotate.sin, cache.keys, cache.values}) {
    if (!is_aligned(tensor.data)) return false;
  }
  const bool stores = cache.format == KvFormat::kBF16 || cache.format == KvFormat::kF8E4M3;
  return stores && rotate.head_dim == kHeadDim && half % 8 == 0 &&
         std::has_single_bit(static_cast<std::uint64_t>(half / 8)) && half <= kHeadDim / 2 &&
         rotate.q.shape[1] <= 16 * kHeld * kThreads && rotate.k.shape[1] <= 16 * kThreads;
}

void rotate_and_append(const HeadRows& rows, const QkNormRopeArgs& rotate,
                       const KvAppendArgs& append, bool plain_q, const Context& context) {
  const auto vectors = [](const TensorView& tensor) {
    return static_cast<const float4*>(tensor.data);
  };
  launch_kernel(context, rotate_kernel, static_cast<unsigned>(rotate.q.shape[0]), kThreads, 0,
                {.rows = rows,
                 .q_weight = vectors(rotate.q_weight),
                 .k_weight = vectors(rotate.k_weight),
                 .cos = vectors(rotate.cos),
                 .sin = vectors(rotate.sin),
                 .slot_mapping = append.slot_mapping.as<std::int64_t>(),
                 .keys = append.cache.keys.data,
                 .values = append.cache.values.data,
                 .plain_q = plain_q ? static_cast<float4*>(rotate.q.data) : nullptr,
                 .eps = rotate.eps,
                 .q_vectors = static_cast<int>(rotate.q.shape[1] / 8),
                 .kv_vectors = static_cast<int>(rotate.k.shape[1] / 8),
                 .partner = static_cast<int>(rotate.cos.shape[1] / 8),
                 .block_size = static_cast<int>(append.cache.block_size()),
                 .is_f8 = append.cache.format == KvFormat::kF8E4M3});
}

}  // namespace m2::cuda::sm90
