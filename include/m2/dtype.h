// Element types and the scalar conversions of the small floats.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace m2 {

enum class DType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF64,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
};

/// Bytes of one element.
std::size_t dtype_size(DType dtype);

/// The name that safetensors files use: "F32", "BF16", "F8_E4M3", ...
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

/// True for the floating types that a weight or an activation may have.
bool is_floating(DType dtype);

/// The upper half of a float32.
struct bf16 {
  std::uint16_t bits;
};
/// IEEE binary16.
struct f16 {
  std::uint16_t bits;
};
/// e4m3fn: bias 7, largest value 448, no infinities, 0x7F and 0xFF are NaN.
struct f8e4m3 {
  std::uint8_t bits;
};

inline float to_float(float value) { return value; }
inline float to_float(bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16U);
}
float to_float(f16 value);
float to_float(f8e4m3 value);

/// Round to nearest, ties to even; NaN stays NaN.
bf16 to_bf16(float value);
f16 to_f16(float value);
/// Values beyond 448 saturate to it, as a clamped cast does.
f8e4m3 to_f8e4m3(float value);

/// Reads element `index` of an array of `dtype` (a floating type) without alignment needs.
float load_float(const void* data, DType dtype, std::int64_t index);

}  // namespace m2
