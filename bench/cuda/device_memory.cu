#include "device_memory.h"

#include <algorithm>

#include "base/philox.h"
#include "cuda/numeric.cuh"
#include "cuda/runtime.h"

namespace m2::bench {
namespace {

using cuda::check_launch;
using cuda::require;

__device__ void put(void* to, std::int64_t index, DType dtype, float value) {
  if (dtype == DType::kF32) static_cast<float*>(to)[index] = value;
  if (dtype == DType::kBF16) static_cast<__nv_bfloat16*>(to)[index] = __float2bfloat16_rn(value);
  if (dtype == DType::kF8E4M3) {
    static_cast<__nv_fp8_storage_t*>(to)[index] =
        __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
  }
}

__global__ void fill_random_kernel(void* to, std::int64_t count, DType dtype, float scale,
                                   std::uint64_t seed) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; 4 * i < count;
       i += step) {
    const auto words =
        philox4x32({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32U), 0, 2},
                   philox_key(seed));
    for (int j = 0; j < 4 && 4 * i + j < count; ++j) {
      put(to, 4 * i + j, dtype, (2.0F * unit_float(words[j]) - 1.0F) * scale);
    }
  }
}

// Every multiprocessor full, eight independent vectors in flight for each thread.
__global__ void __launch_bounds__(1024)
    read_kernel(const uint4* data, std::int64_t count, unsigned* sink) {
  constexpr int kUnroll = 8;
  unsigned sum = 0;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i + (kUnroll - 1) * step < count; i += kUnroll * step) {
    uint4 values[kUnroll];
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) values[j] = __ldcs(data + i + j * step);
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) sum += values[j].x ^ values[j].y ^ values[j].z ^ values[j].w;
  }
  if (sum == 0x12345678U) *sink = sum;  // keeps the reads
}

}  // namespace

void fill_random(void* device, std::int64_t count, DType dtype, float scale, std::uint64_t seed) {
  fill_random_kernel<<<2048, 256>>>(device, count, dtype, scale, seed);
  check_launch("fill_random");
  require(cudaDeviceSynchronize(), "fill_random");
}

double measure_read_rate(std::size_t num_bytes) {
  const cuda::DeviceMemory memory = cuda::allocate_device(num_bytes + sizeof(unsigned));
  fill_random(memory.get(), static_cast<std::int64_t>(num_bytes / 4), DType::kF32, 1.0F, 1);
  auto* sink = reinterpret_cast<unsigned*>(static_cast<char*>(memory.get()) + num_bytes);
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  require(cudaEventCreate(&begin), "create an event");
  require(cudaEventCreate(&end), "create an event");
  float best = 1e30F;
  for (int run = 0; run < 10; ++run) {
    require(cudaEventRecord(begin), "record an event");
    read_kernel<<<2 * 132, 1024>>>(static_cast<const uint4*>(memory.get()),
                                   static_cast<std::int64_t>(num_bytes / sizeof(uint4)), sink);
    require(cudaEventRecord(end), "record an event");
    require(cudaEventSynchronize(end), "read_memory");
    float milliseconds = 0.0F;
    require(cudaEventElapsedTime(&milliseconds, begin, end), "time");
    best = std::min(best, milliseconds);
  }
  require(cudaEventDestroy(begin), "destroy an event");
  require(cudaEventDestroy(end), "destroy an event");
  return static_cast<double>(num_bytes) / (static_cast<double>(best) * 1e-3);
}

}  // namespace m2::bench
