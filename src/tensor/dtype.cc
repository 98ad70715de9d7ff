#include "m2/dtype.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace m2 {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  std::size_t size;
  bool floating;
};

constexpr std::array<DTypeInfo, 11> kInfo = {{
    {DType::kF32, "F32", 4, true},
    {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kF8E4M3, "F8_E4M3", 1, true},
    {DType::kF64, "F64", 8, true},
    {DType::kI64, "I64", 8, false},
    {DType::kI32, "I32", 4, false},
    {DType::kI16, "I16", 2, false},
    {DType::kI8, "I8", 1, false},
    {DType::kU8, "U8", 1, false},
    {DType::kBool, "BOOL", 1, false},
}};

const DTypeInfo& info(DType dtype) {
  for (const auto& entry : kInfo) {
    if (entry.dtype == dtype) return entry;
  }
  fail(ErrorCode::kInternal, "unknown dtype ", static_cast<int>(dtype));
}

template <typename T>
T load(const void* data, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<std::int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

// Shifts right by `shift`, rounding to nearest even.
std::uint32_t round_shift(std::uint32_t value, unsigned shift) {
  if (shift == 0) return value;
  if (shift > 31) return 0;
  const std::uint32_t half = 1U << (shift - 1U);
  const std::uint32_t rest = value & ((1U << shift) - 1U);
  std::uint32_t result = value >> shift;
  if (rest > half || (rest == half && (result & 1U) != 0)) ++result;
  return result;
}

}  // namespace

std::size_t dtype_size(DType dtype) { return info(dtype).size; }
std::string_view dtype_name(DType dtype) { return info(dtype).name; }
bool is_floating(DType dtype) { return info(dtype).floating; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const auto& entry : kInfo) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

float to_float(f16 value) {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (value.bits >> 10U) & 0x1FU;
  const std::uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

float to_float(f8e4m3 value) {
  const std::uint32_t sign = (value.bits & 0x80U) << 24U;
  const std::uint32_t exponent = (value.bits >> 3U) & 0xFU;
  const std::uint32_t mantissa = value.bits & 0x7U;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7FC00000U);
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -9);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 120U) << 23U) | (mantissa << 20U));
}

bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return {static_cast<std::uint16_t>((bits >> 16U) | 0x40U)};
  return {static_cast<std::uint16_t>(round_shift(bits, 16))};
}

f16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return {static_cast<std::uint16_t>(sign | 0x7E00U)};
  if (magnitude >= 0x47800000U) return {static_cast<std::uint16_t>(sign | 0x7C00U)};
  std::uint32_t result;
  if (magnitude < 0x38800000U) {  // below 2^-14: subnormal, step 2^-24
    const std::uint32_t mantissa = (magnitude & 0x7FFFFFU) | 0x800000U;
    result = magnitude < 0x33000000U ? 0 : round_shift(mantissa, 126U - (magnitude >> 23U));
  } else {
    result = round_shift(magnitude - 0x38000000U, 13);
  }
  return {static_cast<std::uint16_t>(sign | result)};
}

f8e4m3 to_f8e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>((bits >> 24U) & 0x80U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return {static_cast<std::uint8_t>(sign | 0x7FU)};
  std::uint32_t result;
  if (magnitude < 0x3C800000U) {  // below 2^-6: subnormal, step 2^-9
    const std::uint32_t mantissa = (magnitude & 0x7FFFFFU) | 0x800000U;
    result = magnitude < 0x3A000000U ? 0 : round_shift(mantissa, 141U - (magnitude >> 23U));
  } else {
    result = round_shift(magnitude - 0x3C000000U, 20);
    if (result > 0x7EU) result = 0x7EU;
  }
  return {static_cast<std::uint8_t>(sign | result)};
}

float load_float(const void* data, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return load<float>(data, index);
    case DType::kF16:
      return to_float(load<f16>(data, index));
    case DType::kBF16:
      return to_float(load<bf16>(data, index));
    case DType::kF8E4M3:
      return to_float(load<f8e4m3>(data, index));
    case DType::kF64:
      return static_cast<float>(load<double>(data, index));
    default:
      fail(ErrorCode::kInternal, "load_float: not a floating dtype: ", dtype_name(dtype));
  }
}

}  // namespace m2
