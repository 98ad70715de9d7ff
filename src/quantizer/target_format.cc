#include "quantizer/target_format.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

struct NamedType {
  std::string_view name;
  DType dtype;
};

constexpr std::array kTypes = {NamedType{"f32", DType::kF32}, NamedType{"bf16", DType::kBF16},
                               NamedType{"f16", DType::kF16}};
constexpr std::string_view kStored = "stored";

bool can_encode(BlockFormat format) { return is_strip_format(format) || can_encode_ggml(format); }

std::string known_names() {
  std::string names(kStored);
  for (const NamedType& type : kTypes) names.append(", ").append(type.name);
  for (const BlockFormat format : block_formats()) {
    if (can_encode(format)) names.append(", ").append(block_format_name(format));
  }
  return names;
}

}  // namespace

TargetFormat parse_target_format(std::string_view name) {
  if (name == kStored) return {};
  const auto* type = std::ranges::find(kTypes, name, &NamedType::name);
  if (type != kTypes.end()) return {.dtype = type->dtype};
  const auto format = block_format_from_name(name);
  M2_REQUIRE(ErrorCode::kInvalidArgument, format && can_encode(*format), "format \"", name,
             "\": expected one of ", known_names());
  return {.block_format = *format};
}

std::string_view target_format_name(const TargetFormat& format) {
  if (format.is_blocks()) return block_format_name(format.block_format);
  const auto* type = std::ranges::find_if(
      kTypes, [&](const NamedType& named) { return format.dtype == named.dtype; });
  return type == kTypes.end() ? kStored : type->name;
}

}  // namespace m2
