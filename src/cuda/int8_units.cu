#include "cuda/int8_units.h"

#include "cuda/int8_layout.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "quant/strip_format.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 128;  // a thread has sixteen codes of a unit
static_assert(kThreads * 16 == kInt8CodeBytes);

// What a thread has of its block's unit.
struct Place {
  std::int64_t row_unit;
  int column_unit;
  int row;     // in the unit
  int column;  // the first of sixteen

  __device__ explicit Place(int column_units)
      : row_unit(blockIdx.x / column_units),
        column_unit(static_cast<int>(blockIdx.x) % column_units) {
    const auto vector = static_cast<int>(threadIdx.x) / 32;
    const auto lane = static_cast<int>(threadIdx.x) % 32;
    row = lane / 4 + vector / 2 * 8;
    column = lane % 4 * 32 + vector % 2 * 16;
  }
};

// Grid: units.
__global__ void __launch_bounds__(kThreads)
    repack_int8_kernel(const char* strips, char* units, std::int64_t strip_bytes,
                       std::int64_t code_bytes, int column_units) {
  begin_kernel();
  const Place at(column_units);
  const char* strip = strips + at.row_unit * strip_bytes;
  char* unit = units + std::int64_t{blockIdx.x} * kInt8UnitBytes;
  const int line = (at.column_unit * kInt8Columns + at.column) / 4;
  const auto word = [&](int i) {
    return *reinterpret_cast<const std::uint32_t*>(strip + std::int64_t{line + i} * kStripLine +
                                                   at.row * 4);
  };
  reinterpret_cast<uint4*>(unit)[threadIdx.x] = {word(0), word(1), word(2), word(3)};
  if (threadIdx.x >= kInt8Rows * 4) return;
  const auto row = static_cast<int>(threadIdx.x) / 4;
  const auto group = static_cast<int>(threadIdx.x) % 4;
  const auto* scales = reinterpret_cast<const std::uint16_t*>(strip + code_bytes);
  *reinterpret_cast<std::uint16_t*>(unit + int8_scale_at(row, group * 32)) =
      scales[(at.column_unit * 4 + group) * kStripRows + row];
}

// Grid: units.
__global__ void __launch_bounds__(kThreads)
    widen_int8_kernel(const char* units, __nv_bfloat16* values, std::int64_t rows,
                      int column_units) {
  begin_kernel();
  const Place at(column_units);
  const char* unit = units + std::int64_t{blockIdx.x} * kInt8UnitBytes;
  const std::int64_t row = at.row_unit * kInt8Rows + at.row;
  if (row >= rows) return;
  const uint4 codes = reinterpret_cast<const uint4*>(unit)[threadIdx.x];
  const auto half = *reinterpret_cast<const __half*>(unit + int8_scale_at(at.row, at.column));
  const float scale = __half2float(half);
  const std::uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
  __nv_bfloat162 pairs[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t two = words[i / 2] >> (i % 2 * 16);
    pairs[i] =
        __floats2bfloat162_rn(static_cast<float>(static_cast<int>(two & 255U) - 128) * scale,
                              static_cast<float>(static_cast<int>(two >> 8U & 255U) - 128) * scale);
  }
  auto* to = reinterpret_cast<uint4*>(
      values + (row * column_units + at.column_unit) * kInt8Columns + at.column);
  to[0] = reinterpret_cast<const uint4*>(pairs)[0];
  to[1] = reinterpret_cast<const uint4*>(pairs)[1];
}

unsigned num_units(const WeightView& weight) {
  return static_cast<unsigned>((weight.rows + kInt8Rows - 1) / kInt8Rows * weight.cols /
                               kInt8Columns);
}

}  // namespace

void repack_int8(const WeightView& weight, const void* strips, void* units,
                 const Context& context) {
  const StripLayout layout = strip_layout(BlockFormat::kInt8G32, weight.cols);
  launch_kernel(context, repack_int8_kernel, num_units(weight), kThreads, 0,
                static_cast<const char*>(strips), static_cast<char*>(units), layout.strip_bytes(),
                layout.code_bytes(), static_cast<int>(weight.cols / kInt8Columns));
  check_launch("repack int8 weights");
}

void widen_int8(const WeightView& weight, const void* units, void* values, const Context& context) {
  launch_kernel(context, widen_int8_kernel, num_units(weight), kThreads, 0,
                static_cast<const char*>(units), static_cast<__nv_bfloat16*>(values), weight.rows,
                static_cast<int>(weight.cols / kInt8Columns));
  check_launch("widen int8 weights");
}

}  // namespace m2::cuda
