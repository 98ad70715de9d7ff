#include "model/initial_values.h"

#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/philox.h"

namespace m2 {
namespace {

// FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return value;
}

// Box-Muller: two uniform words to two independent normal numbers.
std::array<double, 2> normal_pair(std::uint32_t first, std::uint32_t second) {
  const double radius = std::sqrt(-2.0 * std::log((first + 1.0) * 0x1p-32));
  const double angle = 2.0 * std::numbers::pi * (second * 0x1p-32);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace

void store_float(void* out, DType dtype, std::int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(out)[index] = value;
      return;
    case DType::kBF16:
      static_cast<bf16*>(out)[index] = to_bf16(value);
      return;
    case DType::kF16:
      static_cast<f16*>(out)[index] = to_f16(value);
      return;
    default:
      fail(ErrorCode::kInternal, "store_float: dtype ", dtype_name(dtype));
  }
}

void fill_normal(const TensorView& out, double deviation, std::uint64_t seed,
                 std::string_view name) {
  const auto key = philox_key(derive_seed(seed, hash(name)));
  const std::int64_t count = out.num_elements();
  for (std::int64_t begin = 0; begin < count; begin += 4) {
    const auto block = static_cast<std::uint64_t>(begin / 4);
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32U), 0, 0}, key);
    const auto low = normal_pair(words[0], words[1]);
    const auto high = normal_pair(words[2], words[3]);
    const std::array<double, 4> values = {low[0], low[1], high[0], high[1]};
    for (std::int64_t i = begin; i < count && i < begin + 4; ++i) {
      store_float(out.data, out.dtype, i,
                  static_cast<float>(deviation * values[static_cast<std::size_t>(i - begin)]));
    }
  }
}

}  // namespace m2
