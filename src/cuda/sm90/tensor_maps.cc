#include "cuda/sm90/tensor_maps.h"

#include <array>

#include "base/error.h"
#include "cuda/int4_layout.h"
#include "cuda/sm90/gemm.h"

namespace m2::cuda::sm90 {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// From the driver, so that the library needs none to load.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  require(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found),
          "find cuTensorMapEncodeTiled");
#else
  require(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found),
          "find cuTensorMapEncodeTiled");
#endif
  M2_REQUIRE(ErrorCode::kUnsupported, found == cudaDriverEntryPointSuccess,
             "cuda: the driver has no cuTensorMapEncodeTiled");
  return reinterpret_cast<Encode>(function);
}

template <std::size_t kRank>
struct Layout {
  CUtensorMapDataType type;
  std::array<std::uint64_t, kRank> sizes;
  std::array<std::uint64_t, kRank - 1> strides;  // bytes
  std::array<std::uint32_t, kRank> box;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
};

template <std::size_t kRank>
CUtensorMap encode(const void* data, const Layout<kRank>& layout) {
  static const Encode encode_tiled = find_encode();
  std::array<std::uint32_t, kRank> steps;
  steps.fill(1);
  CUtensorMap map;
  const CUresult status = encode_tiled(
      &map, layout.type, kRank, const_cast<void*>(data), layout.sizes.data(), layout.strides.data(),
      layout.box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, layout.swizzle,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  M2_CHECK(status == CUDA_SUCCESS, "cuda: a tensor map of ", layout.sizes[0], " x ",
           layout.sizes[1], " was refused: ", static_cast<int>(status));
  return map;
}

constexpr std::uint32_t kBoxBytes = 128;

std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

}  // namespace

CUtensorMap token_map(const void* data, std::int64_t rows, std::int64_t row_bytes, int box_rows) {
  const Layout<2> layout = {CU_TENSOR_MAP_DATA_TYPE_UINT8,
                            {unsigned_of(row_bytes), unsigned_of(rows)},
                            {unsigned_of(row_bytes)},
                            {kBoxBytes, static_cast<std::uint32_t>(box_rows)}};
  return encode(data, layout);
}

CUtensorMap block_map(const void* data, std::int64_t rows, std::int64_t cols,
                      std::int64_t box_rows) {
  const Layout<2> layout = {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                            {unsigned_of(cols), unsigned_of(rows)},
                            {unsigned_of(cols) * 2},
                            {kBoxBytes / 2, static_cast<std::uint32_t>(box_rows)}};
  return encode(data, layout);
}

bool fits_gemm(const WeightView& weight) {
  if (is_int4(weight)) return weight.rows % kClusterRows == 0 && weight.cols % 128 == 0;
  const bool scaled = weight.dtype == DType::kF8E4M3;
  if (!scaled && weight.dtype != DType::kBF16) return false;
  if (scaled && (weight.block_rows != 128 || weight.block_cols != 128)) return false;
  return weight.rows % kClusterRows == 0 && weight.cols % 128 == 0 &&
         weight.cols / 128 <= kMaxColumnBlocks &&
         reinterpret_cast<std::uintptr_t>(weight.data) % 16 == 0;
}

namespace {

// Units as words; the distance of the second matrix where there are two.
GemmMatrix int4_matrix(const WeightView& first, int matrices, std::uint64_t distance) {
  const std::uint32_t unit_words = kUnitWordBytes / 4 + kUnitColumns / int4_group(first) * 4;
  const std::uint64_t unit_bytes = std::uint64_t{unit_words} * 4;
  const auto units = unsigned_of(first.cols / kUnitColumns);
  const auto boxes = static_cast<std::uint32_t>(matrices);
  const Layout<4> layout = {CU_TENSOR_MAP_DATA_TYPE_UINT32,
                            {unit_words, units, boxes, unsigned_of(first.rows / kUnitRows)},
                            {unit_bytes, distance, units * unit_bytes},
                            {unit_words, 1, boxes, kBoxRows / kUnitRows / boxes},
                            CU_TENSOR_MAP_SWIZZLE_NONE};
  return {.map = encode(first.data, layout), .first_scale = nullptr, .second_scale = nullptr};
}

}  // namespace

GemmMatrix gemm_matrix(const WeightView& weight) {
  if (is_int4(weight)) return int4_matrix(weight, 1, 16);
  const std::uint64_t row_bytes = unsigned_of(weight.cols) * dtype_size(weight.dtype);
  const Layout<2> layout = {CU_TENSOR_MAP_DATA_TYPE_UINT8,
                            {row_bytes, unsigned_of(weight.rows)},
                            {row_bytes},
                            {kBoxBytes, kBoxRows}};
  return {.map = encode(weight.data, layout),
          .first_scale = weight.scale,
          .second_scale = weight.scale,
          .gate_is_second = 0};
}

GemmMatrix gemm_pair(const WeightView& gate, const WeightView& up) {
  const bool swapped = gate.data > up.data;
  const WeightView& first = swapped ? up : gate;
  const WeightView& second = swapped ? gate : up;
  const std::uint64_t row_bytes = unsigned_of(gate.cols) * dtype_size(gate.dtype);
  const auto distance = static_cast<std::uint64_t>(static_cast<const char*>(second.data) -
                                                   static_cast<const char*>(first.data));
  if (is_int4(gate)) {
    GemmMatrix matrix = int4_matrix(first, 2, distance);
    matrix.gate_is_second = swapped ? 1 : 0;
    return matrix;
  }
  const Layout<4> layout = {CU_TENSOR_MAP_DATA_TYPE_UINT8,
                            {row_bytes, kUnitRows, 2, unsigned_of(gate.rows) / kUnitRows},
                            {row_bytes, distance, kUnitRows * row_bytes},
                            {kBoxBytes, kUnitRows, 2, kBoxRows / kUnitRows / 2}};
  return {.map = encode(first.data, layout),
          .first_scale = first.scale,
          .second_scale = second.scale,
          .gate_is_second = swapped ? 1 : 0};
}

GemmTables::Experts GemmTables::find(std::span<const ExpertWeights> experts, const Stream& stream) {
  Table& table = tables_[experts.data()];
  std::vector<const void*> pointers;
  for (const ExpertWeights& expert : experts) {
    for (const WeightView* weight : {&expert.gate, &expert.up, &expert.down}) {
      pointers.push_back(weight->data);
      pointers.push_back(weight->scale);
    }
  }
  if (table.pointers != pointers) {
    std::vector<GemmMatrix> matrices;
    for (const ExpertWeights& expert : experts) {
      matrices.push_back(gemm_pair(expert.gate, expert.up));
    }
    for (const ExpertWeights& expert : experts) matrices.push_back(gemm_matrix(expert.down));
    const std::size_t num_bytes = matrices.size() * sizeof(GemmMatrix);
    table.device = allocate_device(num_bytes);
    require(cudaMemcpyAsync(table.device.get(), matrices.data(), num_bytes, cudaMemcpyHostToDevice,
                            stream.get()),
            "copy the matrices of the experts");
    table.pointers = std::move(pointers);
  }
  const auto* first = static_cast<const GemmMatrix*>(table.device.get());
  return {first, first + experts.size()};
}

}  // namespace m2::cuda::sm90
