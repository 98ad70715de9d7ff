// The element and block types of tensors in GGUF files.
#pragma once

#include <cstdint>
#include <string_view>

namespace m2 {

/// The numbers are those of the files (`ggml_type`). A type with blocks cuts every row into blocks
/// of so many elements.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
};

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;
  std::int64_t block_elements;
  std::int64_t block_bytes;
};

/// Null for a number that no type has.
[[nodiscard]] const GgmlTypeInfo* find_ggml_type(std::uint32_t number);

[[nodiscard]] const GgmlTypeInfo& ggml_type_info(GgmlType type);

}  // namespace m2
