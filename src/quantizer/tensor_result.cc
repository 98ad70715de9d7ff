#include "quantizer/tensor_result.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/weight_names.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

std::string role_of(const std::string& name) {
  const auto place = parse_tensor_name(name);
  if (!place) return "scales";
  switch (place->part) {
    case Part::kEmbedTokens:
      return "embedding";
    case Part::kLmHead:
      return "head";
    case Part::kQ:
    case Part::kK:
    case Part::kV:
    case Part::kAttnOut:
      return "attention";
    case Part::kGate:
      return "router";
    case Part::kCorrectionBias:
      return "correction bias";
    case Part::kExpertGate:
    case Part::kExpertUp:
    case Part::kExpertDown:
      return "experts";
    default:
      return "norms";
  }
}

void add(const TensorResult& result, ResultGroup& group) {
  ++group.num_tensors;
  std::int64_t weights = 1;
  for (const std::int64_t dim : result.shape) weights *= dim;
  group.num_weights += weights;
  group.bytes_before += result.bytes_before;
  group.bytes_after += result.bytes_after;
  group.error.add(result.error);
  if (result.error.relative() <= group.worst_relative) return;
  group.worst_relative = result.error.relative();
  group.worst_tensor = result.name;
}

}  // namespace

std::vector<ResultGroup> group_results(std::span<const TensorResult> results) {
  std::vector<ResultGroup> groups;
  for (const TensorResult& result : results) {
    const std::string role = role_of(result.name);
    auto group = std::ranges::find_if(groups, [&](const ResultGroup& candidate) {
      return candidate.role == role && candidate.from == result.from && candidate.to == result.to;
    });
    if (group == groups.end()) {
      group = groups.insert(group, {.role = role, .from = result.from, .to = result.to});
    }
    add(result, *group);
  }
  return groups;
}

Json to_json(const TensorResult& result) {
  return {{"name", result.name},
          {"shape", result.shape},
          {"from", result.from},
          {"to", result.to},
          {"bytes_before", result.bytes_before},
          {"bytes_after", result.bytes_after},
          {"relative_rms_error", result.error.relative()},
          {"largest_error", result.error.largest},
          {"squared_error", result.error.squared_error},
          {"squared_sum", result.error.squared_sum}};
}

TensorResult read_result(const Json& json, const std::string& where) {
  try {
    return {.name = json.at("name"),
            .shape = json.at("shape"),
            .from = json.at("from"),
            .to = json.at("to"),
            .bytes_before = json.at("bytes_before"),
            .bytes_after = json.at("bytes_after"),
            .error = {.squared_error = json.at("squared_error"),
                      .squared_sum = json.at("squared_sum"),
                      .largest = json.at("largest_error")}};
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, where, ": a tensor's result cannot be read: ", error.what());
  }
}

}  // namespace m2
