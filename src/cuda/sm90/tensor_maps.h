// Descriptions of matrices for the copy engine.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "cuda/runtime.h"
#include "ops/moe_experts.h"

namespace m2::cuda::sm90 {

struct GemmMatrix;

/// [rows, row_bytes] in device memory, read in boxes of 128 bytes times `box_rows`, swizzled.
[[nodiscard]] CUtensorMap token_map(const void* data, std::int64_t rows, std::int64_t row_bytes,
                                    int box_rows);

/// [rows, cols] bf16, read in boxes of 64 columns times `box_rows`, swizzled.
[[nodiscard]] CUtensorMap block_map(const void* data, std::int64_t rows, std::int64_t cols,
                                    std::int64_t box_rows);

/// Whether the kernel can read the weight: whole blocks of rows and columns, scales of 128x128.
[[nodiscard]] bool fits_gemm(const WeightView& weight);
[[nodiscard]] GemmMatrix gemm_matrix(const WeightView& weight);
[[nodiscard]] GemmMatrix gemm_pair(const WeightView& gate, const WeightView& up);

/// The matrices of every layer's experts in device memory; made when an array of experts is first
/// seen, and again when it holds other pointers.
class GemmTables {
 public:
  struct Experts {
    const GemmMatrix* gate_up;  // [E]
    const GemmMatrix* down;     // [E]
  };
  [[nodiscard]] Experts find(std::span<const ExpertWeights> experts, const Stream& stream);

 private:
  struct Table {
    std::vector<const void*> pointers;
    DeviceMemory device;  // [2, E]
  };
  std::map<const ExpertWeights*, Table> tables_;
};

}  // namespace m2::cuda::sm90
