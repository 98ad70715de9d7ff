#include "quantizer/recipe.h"

#include <fnmatch.h>

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace m2 {
namespace {

bool matches(const TensorRule& rule, const std::string& name) {
  return ::fnmatch(("*" + rule.pattern + "*").c_str(), name.c_str(), 0) == 0;
}

// What stands beside experts of `format`: 8 bits with those of 4.
TargetFormat wide_format(const TargetFormat& format) {
  switch (format.block_format) {
    case BlockFormat::kInt4G32:
    case BlockFormat::kInt4G128:
      return {.block_format = BlockFormat::kInt8G32};
    case BlockFormat::kQ4_0:
    case BlockFormat::kQ4_K:
      return {.block_format = BlockFormat::kQ8_0};
    default:
      return format;
  }
}

TargetFormat embedding_format(const TargetFormat& format, const SavedTensor& tensor) {
  if (!format.is_blocks()) return format;
  if (tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16) return {};
  return {.dtype = DType::kBF16};
}

TargetFormat default_format(const TargetFormat& format, const SavedTensor& tensor, bool tied) {
  switch (tensor.place.part) {
    case Part::kExpertGate:
    case Part::kExpertUp:
    case Part::kExpertDown:
      return format;
    case Part::kQ:
    case Part::kK:
    case Part::kV:
    case Part::kAttnOut:
    case Part::kLmHead:
      return wide_format(format);
    case Part::kEmbedTokens:
      return tied ? wide_format(format) : embedding_format(format, tensor);
    default:
      return {};
  }
}

void check_format(const SavedTensor& tensor, const TargetFormat& format) {
  if (!format.is_blocks()) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, tensor.shape.rank() == 2, tensor.name, ": a vector ",
             tensor.shape, " cannot become ", target_format_name(format));
  M2_REQUIRE(ErrorCode::kInvalidArgument, block_format_fits(format.block_format, tensor.view.cols),
             tensor.name, ": rows of ", tensor.view.cols, " weights are no whole blocks of ",
             target_format_name(format));
}

}  // namespace

TensorRule parse_tensor_rule(std::string_view text) {
  const std::size_t sign = text.rfind('=');
  M2_REQUIRE(ErrorCode::kInvalidArgument, sign != std::string_view::npos && sign > 0,
             "expected PATTERN=FORMAT, got \"", text, "\"");
  return {std::string(text.substr(0, sign)), parse_target_format(text.substr(sign + 1))};
}

std::vector<TargetFormat> Recipe::choose(const std::vector<SavedTensor>& tensors, bool tied) const {
  std::vector<bool> used(rules.size(), false);
  std::vector<TargetFormat> targets;
  targets.reserve(tensors.size());
  for (const SavedTensor& tensor : tensors) {
    // Scales go with their weight.
    if (tensor.name.ends_with(kScaleSuffix)) {
      targets.emplace_back();
      continue;
    }
    std::optional<TargetFormat> chosen;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (!matches(rules[i], tensor.name)) continue;
      used[i] = true;
      if (!chosen) chosen = rules[i].format;
    }
    targets.push_back(chosen.value_or(default_format(format, tensor, tied)));
    check_format(tensor, targets.back());
  }
  const auto unused = std::ranges::find(used, false);
  M2_REQUIRE(ErrorCode::kInvalidArgument, unused == used.end(), "no tensor's name contains \"",
             rules[static_cast<std::size_t>(unused - used.begin())].pattern, "\"");
  return targets;
}

}  // namespace m2
