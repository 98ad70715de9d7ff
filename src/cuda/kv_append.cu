#include "ops/kv_append.h"

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

__device__ void store(float* to, float value) { *to = value; }
__device__ void store(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }

// One block a token, its threads along [Nkv * D].
template <typename Element>
__global__ void kv_append_kernel(const float* k, const float* v,    // [T, Nkv, D]
                                 const std::int64_t* slot_mapping,  // [T]
                                 Element* keys, Element* values,    // [P, Nkv, B, D]
                                 std::int64_t num_heads, std::int64_t block_size,
                                 std::int64_t head_dim) {
  const std::int64_t slot = slot_mapping[blockIdx.x];
  const std::int64_t block = slot / block_size;
  const std::int64_t offset = slot % block_size;
  const std::int64_t width = num_heads * head_dim;
  for (std::int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const std::int64_t row = (block * num_heads + i / head_dim) * block_size + offset;
    const std::int64_t to = row * head_dim + i % head_dim;
    store(keys + to, k[blockIdx.x * width + i]);
    store(values + to, v[blockIdx.x * width + i]);
  }
}

template <typename Element>
void launch(const KvAppendArgs& args, Context& context) {
  const KvCacheView& cache = args.cache;
  kv_append_kernel<<<static_cast<unsigned>(args.k.shape[0]), 256, 0, context.stream.get()>>>(
      args.k.as<float>(), args.v.as<float>(), args.slot_mapping.as<std::int64_t>(),
      static_cast<Element*>(cache.keys.data), static_cast<Element*>(cache.values.data),
      cache.num_kv_heads(), cache.block_size(), cache.head_dim());
}

}  // namespace

void kv_append(const KvAppendArgs& args, Context& context) {
  check(args);
  if (args.k.num_elements() == 0) return;
  switch (args.cache.format) {
    case KvFormat::kF32:
      launch<float>(args, context);
      break;
    case KvFormat::kBF16:
      launch<__nv_bfloat16>(args, context);
      break;
  }
  check_launch("kv_append");
}

}  // namespace m2::cuda
