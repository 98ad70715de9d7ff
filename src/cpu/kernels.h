// The table of SIMD kernels that every instruction set fills. Kernels are single-threaded and take
// raw pointers; contracts were checked and the work was divided before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cpu/quantized_rows.h"
#include "cpu/token_tiles.h"
#include "quant/weight_view.h"

namespace m2::cpu {

/// Columns that one accumulator sums before it is reduced to a scalar. Fixed, so that the value of
/// an output depends on its row and its token only: neither on the tile that it was computed in,
/// nor on the other tokens of the batch, nor on the number of threads.
inline constexpr std::int64_t kPanelCols = 1024;

/// Tokens whose packed panel stays in the second-level cache (384 KiB).
inline constexpr std::int64_t kTileTokens = 96;

/// The most tokens that any kernel multiplies without unpacking the weights to memory first.
inline constexpr std::int64_t kMaxDirectTokens = 4;

/// The most tokens (or query rows) of one register tile.
inline constexpr std::int64_t kMaxTileCols = 6;

/// Rows [row_begin, row_end) of a weight times some rows of the input. Block formats take the
/// quantised input or, where takes_tiles (cpu/context.h), the packed one, all others the plain one;
/// row_begin of strips is a multiple of 16.
struct MatmulArgs {
  WeightView weight;  // [N, K]
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  const float* input = nullptr;                     // [*, K]
  const QuantizedGroup* quantized_input = nullptr;  // [*, quantized_groups(K)]
  const std::int32_t* input_rows = nullptr;    // [T]: the rows of both to take; null: 0 .. T - 1
  const std::uint8_t* packed_input = nullptr;  // [T, token_tile_bytes(K)], by passes of kPassTokens
  std::int64_t num_tokens = 0;                 // T
  float* output = nullptr;  // (t, row) is output[t * output_stride + row - row_begin]
  std::int64_t output_stride = 0;
  bool accumulate = false;
  float* scratch = nullptr;  // [matmul_scratch(K)], aligned to 64 bytes
  // Optional: rows in the same block format, of the same width, that are multiplied next, to be
  // fetched early.
  const void* next_rows = nullptr;
};

/// Floats of scratch that a matmul with `cols` columns needs.
[[nodiscard]] std::int64_t matmul_scratch(std::int64_t cols);

/// Keys that one softmax statistic covers; fixed for the same reason as kPanelCols.
inline constexpr std::int64_t kAttentionChunk = 256;

/// The most keys that a register tile of any kernel covers.
inline constexpr std::int64_t kMostScoreKeys = 32;

/// Some query rows (all of one KV head) against up to kAttentionChunk keys of it.
struct AttendArgs {
  const float* const* q = nullptr;      // [M] pointers to [D]
  const std::int32_t* begin = nullptr;  // [M]: row m sees the keys from begin[m]
  const std::int32_t* end = nullptr;    // [M]: up to before end[m]
  std::int64_t num_rows = 0;            // M
  std::int64_t head_dim = 0;            // D
  float scale = 1.0F;
  DType dtype = DType::kF32;  // of keys and values: F32, BF16 or F8_E4M3
  // The keys that some row sees. A key's index counts from the start of its chunk: it decides the
  // order of the sums.
  std::int64_t first_key = 0;
  std::int64_t end_key = 0;
  const std::uint8_t* const* keys = nullptr;    // [end_key] pointers to [D], from first_key on
  const std::uint8_t* const* values = nullptr;  // the same
  // Optional: where a key has groups, [D / G, 2], the pointers above lead to its codes
  // (ops/quantized_blocks.h); the other keys are F32 then.
  const float* const* key_groups = nullptr;    // [end_key] pointers or nulls
  const float* const* value_groups = nullptr;  // the same
  int bits = 8;
  std::int64_t group_size = 0;  // G
  // All optional, [end_key] each: a key is hidden where 0; a number is added to the score.
  const std::uint8_t* key_mask = nullptr;
  const std::uint8_t* const* row_masks = nullptr;  // [M] pointers
  const float* const* biases = nullptr;            // [M] pointers
  float* largest = nullptr;  // [M], output: the largest score, -inf when no key is visible
  float* sum = nullptr;      // [M], output: sum of exp(score - largest)
  float* output = nullptr;   // [M, D], output: sum of exp(score - largest) * value
  float* scratch = nullptr;  // [attend_scratch(M, D)], aligned to 64 bytes
};

/// Floats of scratch that attend needs.
[[nodiscard]] std::int64_t attend_scratch(std::int64_t num_rows, std::int64_t head_dim);

struct Kernels {
  std::int64_t target;  // one of Highway's HWY_* target bits
  bool amx = false;     // and the matrix unit, which Highway does not know
  void (*matmul)(const MatmulArgs& args);
  // input [cols] into groups [num_groups]; what is beyond cols counts as zero.
  void (*quantize)(const float* input, std::int64_t cols, std::int64_t num_groups,
                   QuantizedGroup* groups);
  // Quantised rows of the tokens of a pass into tiles.
  void (*pack_tokens)(const PackArgs& args);
  void (*attend)(const AttendArgs& args);
  // output[i] = weight[i] * (input[i] * rsqrt(mean(input^2) + eps)); output may be input.
  void (*rms_norm)(const float* input, const float* weight, std::int64_t size, float eps,
                   float* output);
  // Half-split rotation of the first 2 * half elements of a head.
  void (*rotate)(const float* cos, const float* sin, std::int64_t half, float* head);
  // gate[i] = silu(gate[i]) * up[i].
  void (*silu_mul)(const float* up, std::int64_t size, float* gate);
  // output[i] += factor * input[i].
  void (*add_scaled)(float factor, const float* input, std::int64_t size, float* output);
  // Sum of all elements, a multiple of 8192: the bandwidth that linear could reach, for benchmarks.
  float (*read_memory)(const float* input, std::int64_t size);
  // The rate that products could reach, for benchmarks: multiply-adds of registers. They return the
  // multiplications and additions that they made; the results go to the sink.
  std::int64_t (*peak_f32)(std::int64_t rounds, float* sink);
  std::int64_t (*peak_int8)(std::int64_t rounds, std::int32_t* sink);
};

/// The tables of this build that this machine can run, the best first.
[[nodiscard]] std::vector<const Kernels*> supported_kernels();

/// "AVX2", "AVX3", "AVX3_DL", "AMX", "SSE4", "NEON", "SCALAR", ...
[[nodiscard]] std::string target_name(const Kernels& kernels);

/// The best table, or the one named. Throws kUnsupported when this build or machine lacks it.
[[nodiscard]] const Kernels& choose_kernels(const std::optional<std::string>& name);

}  // namespace m2::cpu
