// Activations of few tokens on their way into a block's shared memory as operands.
//
// A warp reads several units together and makes their operands side by side, without a branch
// around any of them.
#pragma once

#include <type_traits>

#include "cuda/int4_tokens.cuh"
#include "cuda/marked_values.cuh"

namespace m2::cuda {

/// body(integral_constant of a count, first) for all of `end` things from `begin` on, by the counts
/// in their order, the largest first; the last one is 1.
template <int kCount, int... kOthers, typename Body>
__device__ void in_batches(int begin, int end, const Body& body) {
  for (; begin + kCount <= end; begin += kCount) body(std::integral_constant<int, kCount>(), begin);
  if constexpr (sizeof...(kOthers) > 0) in_batches<kOthers...>(begin, end, body);
}

/// rows [T, units] of 128 columns. By warps 0 .. kWarps - 1, each of which takes every kWarps-th
/// unit.
template <int kWarps, typename Tokens>
__device__ void fill_tokens(const Tokens& tokens, const float* rows, int units, int num_tokens) {
  const int own = static_cast<int>(threadIdx.x) / 32;
  const auto* from = reinterpret_cast<const float4*>(rows) + static_cast<int>(threadIdx.x) % 32;
  in_batches<12, 6, 3, 1>(
      0, (num_tokens * units - own + kWarps - 1) / kWarps, [&](auto count, int first) {
        float4 columns[count()];
#pragma unroll
        for (int i = 0; i < count(); ++i) {
          columns[i] = __ldcg(from + ((first + i) * kWarps + own) * (kUnitColumns / 4));
        }
#pragma unroll
        for (int i = 0; i < count(); ++i) {
          const int at = (first + i) * kWarps + own;
          tokens.put(at / units, at % units, columns[i]);
        }
      });
}

/// By a warp: inner values [units] of 128 columns, which other blocks write, as those of a token.
template <typename Tokens>
__device__ void fetch_inner(const Tokens& tokens, int token, const float* row, int units,
                            std::uint32_t mark) {
  constexpr int kBatch = 12;
  const float* from = row + static_cast<int>(threadIdx.x) % 32 * 4;
  for (int first = 0; first < units; first += kBatch) {
    float4 columns[kBatch];
    bool complete;
    do {
      complete = true;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (first + i >= units) break;
        columns[i] = load_marked(from + (first + i) * kUnitColumns);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (first + i >= units) break;
        complete = complete && is_marked(columns[i], mark);
      }
    } while (!__all_sync(kAllLanes, complete));
    if (first + kBatch <= units) {
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {  // side by side, without branches
        tokens.put(token, first + i, without_mark(columns[i]));
      }
      continue;
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (first + i < units) tokens.put(token, first + i, without_mark(columns[i]));
    }
  }
}

}  // namespace m2::cuda
