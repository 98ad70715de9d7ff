#include "cuda/expert_tables.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace m2::cuda {
namespace {

ExpertPointers pointers_of(const ExpertWeights& expert) {
  return {.gate = expert.gate.data,
          .up = expert.up.data,
          .down = expert.down.data,
          .gate_scale = expert.gate.scale,
          .up_scale = expert.up.scale,
          .down_scale = expert.down.scale};
}

bool same(const ExpertPointers& a, const ExpertPointers& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

// Alignment included: kernels are chosen by the first expert.
bool stored_alike(const WeightView& a, const WeightView& b) {
  const auto misalignment = [](const WeightView& weight) {
    return reinterpret_cast<std::uintptr_t>(weight.data) % 16;
  };
  return misalignment(a) == misalignment(b) && a.dtype == b.dtype &&
         a.block_format == b.block_format && a.rows == b.rows &&
         a.cols == b.cols && a.block_rows == b.block_rows && a.block_cols == b.block_cols;
}

void check_uniform(std::span<const ExpertWeights> experts) {
  const ExpertWeights& first = experts.front();
  for (const ExpertWeights& expert : experts) {
    M2_REQUIRE(ErrorCode::kUnsupported,
               stored_alike(expert.gate, first.gate) && stored_alike(expert.up, first.gate) &&
                   stored_alike(expert.down, first.down),
               "cuda: moe_experts: the experts of a layer must be stored alike, got ",
               dtype_name(first.gate.dtype), " and ", dtype_name(expert.gate.dtype),
               " or scale blocks of different sizes");
  }
}

}  // namespace

const ExpertPointers* ExpertTables::find(std::span<const ExpertWeights> experts,
                                         const Stream& stream) {
  Table& table = tables_[experts.data()];
  const auto matches = [](const ExpertPointers& pointers, const ExpertWeights& expert) {
    return same(pointers, pointers_of(expert));
  };
  if (std::ranges::equal(table.host, experts, matches)) {
    return static_cast<const ExpertPointers*>(table.device.get());
  }
  check_uniform(experts);
  table.host.resize(experts.size());
  std::ranges::transform(experts, table.host.begin(), pointers_of);
  const std::size_t num_bytes = table.host.size() * sizeof(ExpertPointers);
  table.device = allocate_device(num_bytes);
  require(cudaMemcpyAsync(table.device.get(), table.host.data(), num_bytes, cudaMemcpyHostToDevice,
                          stream.get()),
          "copy the table of experts");
  return static_cast<const ExpertPointers*>(table.device.get());
}

}  // namespace m2::cuda
