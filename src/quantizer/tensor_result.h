// What became of a tensor, and what that cost.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "quantizer/matrix_encoder.h"

namespace m2 {

struct TensorResult {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string from;  // "BF16", "F8_E4M3", "int4_g32", ...
  std::string to;
  std::int64_t bytes_before = 0;  // scales included
  std::int64_t bytes_after = 0;
  CodingError error;
};

/// Results of one role ("experts", "attention", ...) and format together.
struct ResultGroup {
  std::string role;
  std::string from;
  std::string to;
  std::int64_t num_tensors = 0;
  std::int64_t num_weights = 0;
  std::int64_t bytes_before = 0;
  std::int64_t bytes_after = 0;
  CodingError error;
  double worst_relative = 0;
  std::string worst_tensor;  // the one of the largest relative error; empty where all are exact
};

std::vector<ResultGroup> group_results(std::span<const TensorResult> results);

nlohmann::ordered_json to_json(const TensorResult& result);
/// Throws kCorruptFile for what to_json does not write; `where` is for the message.
TensorResult read_result(const nlohmann::ordered_json& json, const std::string& where);

}  // namespace m2
