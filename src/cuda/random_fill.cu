#include "ops/random_fill.h"

#include "cuda/context.h"
#include "cuda/int4_layout.h"
#include "cuda/int8_layout.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

// A thread writes chunks of 16 bytes; the last one may be cut short.
__global__ void random_fill_kernel(std::byte* data, std::int64_t num_bytes, RandomPattern pattern,
                                   std::uint64_t seed) {
  begin_kernel();
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t chunk = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
       16 * chunk < num_bytes; chunk += step) {
    const auto words = random_chunk(pattern, seed, chunk);
    if (16 * chunk + 16 <= num_bytes) {
      reinterpret_cast<uint4*>(data)[chunk] = make_uint4(words[0], words[1], words[2], words[3]);
      continue;
    }
    for (std::int64_t i = 16 * chunk; i < num_bytes; ++i) {
      data[i] = static_cast<std::byte>(words[i % 16 / 4] >> (i % 4 * 8));
    }
  }
}

// Matrices of 4 and 8 bits lie on a device in units of codes and their scales instead of strips
// (int4_layout.h, int8_layout.h); the shares of both are the same.
RandomPattern on_device(RandomPattern pattern) {
  if (pattern.strip_bytes == 0) return pattern;
  const std::int64_t unit_codes =
      pattern.elements == RandomElements::kInt4 ? kUnitWordBytes : kInt8CodeBytes;
  pattern.strip_bytes = unit_codes * pattern.strip_bytes / pattern.code_bytes;
  pattern.code_bytes = unit_codes;
  return pattern;
}

}  // namespace

void random_fill(const RandomFillArgs& args, Context& context) {
  check(args);
  if (args.num_bytes == 0) return;
  const RandomPattern pattern = on_device(args.pattern);
  launch_kernel(context, random_fill_kernel, 2048, 256, 0, static_cast<std::byte*>(args.data),
                args.num_bytes, pattern, args.seed);
  check_launch("random_fill");
}

}  // namespace m2::cuda
