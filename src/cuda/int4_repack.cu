// Strips of the host's int4 formats (quant/strip_format.h) into units (int4_layout.h).
#include "cuda/int4_repack.h"

#include "cuda/int4_layout.h"
#include "cuda/launch.cuh"
#include "quant/strip_format.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 128;  // four units

struct Repacking {
  const char* strips;
  char* units;
  std::int64_t num_units;
  int unit_columns;  // units along the columns
  int groups;        // of a unit
  std::int64_t strip_bytes;
  std::int64_t code_bytes;  // of a strip
};

// A lane makes its four words; the first ones of a unit also copy a scale each.
__global__ void __launch_bounds__(kThreads) repack_int4_kernel(Repacking args) {
  begin_kernel();
  const std::int64_t unit = std::int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32;
  if (unit >= args.num_units) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t eight_rows = unit / args.unit_columns;
  const auto block = static_cast<int>(unit % args.unit_columns);
  const char* strip = args.strips + eight_rows / 2 * args.strip_bytes;
  const int first_row = static_cast<int>(eight_rows % 2) * kUnitRows;
  const std::int64_t unit_bytes = kUnitWordBytes + args.groups * kUnitRows * 2;
  char* to = args.units + unit * unit_bytes;
  std::uint32_t words[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const int column = block * kUnitColumns + 32 * w + 8 * (lane % 4);
    const auto line = *reinterpret_cast<const std::uint32_t*>(
        strip + std::int64_t{column / 8} * kStripLine + 4 * (first_row + lane / 4));
    // Byte b holds the columns b (low) and b + 4 (high).
    std::uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t code = line >> (i % 4 * 8 + i / 4 * 4) & 15U;
      word |= code << (i / 2 * 4 + i % 2 * 16);
    }
    words[w] = word;
  }
  reinterpret_cast<uint4*>(to)[lane] = make_uint4(words[0], words[1], words[2], words[3]);
  if (lane >= args.groups * kUnitRows) return;
  const auto* scales = reinterpret_cast<const std::uint16_t*>(strip + args.code_bytes);
  const int group = block * args.groups + lane % args.groups;
  reinterpret_cast<std::uint16_t*>(to + kUnitWordBytes)[lane] =
      scales[group * kStripRows + first_row + lane / args.groups];
}

}  // namespace

void repack_int4(const WeightView& weight, const void* strips, void* units,
                 const Context& context) {
  const StripLayout layout = strip_layout(weight.block_format, weight.cols);
  const auto unit_columns = static_cast<int>(weight.cols / kUnitColumns);
  const std::int64_t num_units = layout.num_strips(weight.rows) * 2 * unit_columns;
  constexpr int kUnits = kThreads / 32;
  launch_kernel(context, repack_int4_kernel,
                static_cast<unsigned>((num_units + kUnits - 1) / kUnits), kThreads, 0,
                {.strips = static_cast<const char*>(strips),
                 .units = static_cast<char*>(units),
                 .num_units = num_units,
                 .unit_columns = unit_columns,
                 .groups = kUnitColumns / int4_group(weight),
                 .strip_bytes = layout.strip_bytes(),
                 .code_bytes = layout.code_bytes()});
  check_launch("repack int4 weights");
}

}  // namespace m2::cuda
