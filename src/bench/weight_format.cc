#include "bench/weight_format.h"

#include <array>
#include <utility>

#include "base/error.h"

namespace m2::bench {
namespace {

constexpr std::array<std::pair<std::string_view, WeightFormat>, 7> kFormats = {{
    {"f32", {DType::kF32, BlockFormat::kNone}},
    {"f16", {DType::kF16, BlockFormat::kNone}},
    {"bf16", {DType::kBF16, BlockFormat::kNone}},
    {"fp8", {DType::kF8E4M3, BlockFormat::kNone}},
    {"int8_g32", {DType::kU8, BlockFormat::kInt8G32}},
    {"int4_g32", {DType::kU8, BlockFormat::kInt4G32}},
    {"int4_g128", {DType::kU8, BlockFormat::kInt4G128}},
}};

}  // namespace

WeightFormat weight_format_from_name(std::string_view name) {
  std::string names;
  for (const auto& [known, format] : kFormats) {
    if (known == name) return format;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  fail(ErrorCode::kInvalidArgument, "format: expected one of ", names, ", got \"", name, "\"");
}

std::string weight_format_name(const WeightFormat& format) {
  for (const auto& [name, known] : kFormats) {
    if (known == format) return std::string(name);
  }
  return std::string(block_format_name(format.block_format));
}

std::string weight_format_name(const WeightView& weight) {
  return weight_format_name(WeightFormat{weight.dtype, weight.block_format});
}

WeightView unplaced_weight(const WeightFormat& format, std::int64_t rows, std::int64_t cols) {
  return {.dtype = format.dtype, .rows = rows, .cols = cols, .block_format = format.block_format};
}

ModelFormats default_formats(const WeightFormat& experts, std::string_view device) {
  const bool integers = experts.block_format != BlockFormat::kNone;
  const WeightFormat bf16;
  if (device != "cpu") return {experts, integers ? WeightFormat{DType::kF8E4M3} : experts, bf16};
  const WeightFormat int8 = {DType::kU8, BlockFormat::kInt8G32};
  const bool fp8 = experts.dtype == DType::kF8E4M3;
  return {experts, experts, integers ? int8 : (fp8 ? bf16 : experts)};
}

}  // namespace m2::bench
