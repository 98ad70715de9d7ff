#include "checkpoint/gguf_tensor.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace m2 {
namespace {

struct Pair {
  GgmlType type;
  GgmlStorage storage;
};

constexpr std::array kPairs = {
    Pair{GgmlType::kF32, {DType::kF32}},
    Pair{GgmlType::kF16, {DType::kF16}},
    Pair{GgmlType::kBF16, {DType::kBF16}},
    Pair{GgmlType::kF64, {DType::kF64}},
    Pair{GgmlType::kI8, {DType::kI8}},
    Pair{GgmlType::kI16, {DType::kI16}},
    Pair{GgmlType::kI32, {DType::kI32}},
    Pair{GgmlType::kI64, {DType::kI64}},
    Pair{GgmlType::kQ8_0, {DType::kU8, BlockFormat::kQ8_0}},
    Pair{GgmlType::kQ4_0, {DType::kU8, BlockFormat::kQ4_0}},
    Pair{GgmlType::kQ4_1, {DType::kU8, BlockFormat::kQ4_1}},
    Pair{GgmlType::kQ5_0, {DType::kU8, BlockFormat::kQ5_0}},
    Pair{GgmlType::kQ5_1, {DType::kU8, BlockFormat::kQ5_1}},
    Pair{GgmlType::kQ2_K, {DType::kU8, BlockFormat::kQ2_K}},
    Pair{GgmlType::kQ3_K, {DType::kU8, BlockFormat::kQ3_K}},
    Pair{GgmlType::kQ4_K, {DType::kU8, BlockFormat::kQ4_K}},
    Pair{GgmlType::kQ5_K, {DType::kU8, BlockFormat::kQ5_K}},
    Pair{GgmlType::kQ6_K, {DType::kU8, BlockFormat::kQ6_K}},
    Pair{GgmlType::kIQ4_NL, {DType::kU8, BlockFormat::kIQ4_NL}},
    Pair{GgmlType::kIQ4_XS, {DType::kU8, BlockFormat::kIQ4_XS}},
};

}  // namespace

std::optional<GgmlStorage> storage_of(GgmlType type) {
  const auto* found = std::ranges::find(kPairs, type, &Pair::type);
  if (found == kPairs.end()) return std::nullopt;
  return found->storage;
}

std::optional<GgmlType> ggml_type_of(DType dtype, BlockFormat block_format) {
  const auto* found = std::ranges::find_if(kPairs, [&](const Pair& pair) {
    return pair.storage.dtype == dtype && pair.storage.block_format == block_format;
  });
  if (found == kPairs.end()) return std::nullopt;
  return found->type;
}

CheckpointTensor checkpoint_tensor(const GgufTensor& tensor, std::size_t file,
                                   const std::string& path) {
  const auto storage = storage_of(tensor.type->type);
  M2_REQUIRE(ErrorCode::kUnsupported, storage.has_value(), path, ": tensor ", tensor.name,
             ": the type ", tensor.type->name, " is not supported");
  const bool blocks = storage->block_format != BlockFormat::kNone;
  const Shape stored =
      blocks ? Shape{static_cast<std::int64_t>(tensor.bytes.size())} : tensor.shape;
  // Views are read-only by contract; TensorView has one pointer type for both uses.
  auto* data = const_cast<std::byte*>(tensor.bytes.data());
  return {tensor.name, {data, storage->dtype, stored}, file, tensor.shape, storage->block_format};
}

}  // namespace m2
