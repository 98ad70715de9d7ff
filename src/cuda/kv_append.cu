#include "ops/kv_append.h"

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

__device__ void store(float* to, float value) { *to = value; }
__device__ void store(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }
__device__ void store(__nv_fp8_storage_t* to, float value) {
  *to = __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
}

// Grid: x tokens, y heads.
template <typename Element>
__global__ void kv_append_kernel(const float* k, const float* v,    // [T, Nkv, D]
                                 const std::int64_t* slot_mapping,  // [T]
                                 Element* keys, Element* values,    // [P, Nkv, B, D]
                                 int block_size, int head_dim) {
  begin_kernel();
  const std::int64_t from = (std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * head_dim;
  const std::int64_t slot = slot_mapping[blockIdx.x];
  const std::int64_t block = slot / block_size;
  const std::int64_t row = (block * gridDim.y + blockIdx.y) * block_size + slot % block_size;
  for (int dim = threadIdx.x; dim < head_dim; dim += blockDim.x) {
    const float key = k[from + dim];
    const float value = v[from + dim];
    store(keys + row * head_dim + dim, key);
    store(values + row * head_dim + dim, value);
  }
}

template <typename Element>
void launch(const KvAppendArgs& args, Context& context) {
  const KvCacheView& cache = args.cache;
  const dim3 grid(static_cast<unsigned>(args.k.shape[0]),
                  static_cast<unsigned>(cache.num_kv_heads()));
  launch_kernel(context, kv_append_kernel<Element>, grid, 128, 0, args.k.as<float>(),
                args.v.as<float>(), args.slot_mapping.as<std::int64_t>(),
                static_cast<Element*>(cache.keys.data), static_cast<Element*>(cache.values.data),
                static_cast<int>(cache.block_size()), static_cast<int>(cache.head_dim()));
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
    case KvFormat::kF8E4M3:
      launch<__nv_fp8_storage_t>(args, context);
      break;
    case KvFormat::kInt8:
      fail(ErrorCode::kUnsupported, "cuda: kv_append: an INT8 cache is not supported");
  }
  check_launch("kv_append");
}

}  // namespace m2::cuda
