#include "service/batch_inputs.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

using Json = nlohmann::json;

struct RowReader {
  const Json& root;
  const std::string& name;
  std::int64_t batch_size = 0;
  std::int64_t sequence_length = 0;

  // The rows of `key`, flat; the first key read sets the shape.
  template <typename T>
  std::vector<T> read(const char* key, std::int64_t low, std::int64_t high) {
    const Json& value = root.at(key);
    M2_REQUIRE(ErrorCode::kInvalidArgument, value.is_array() && !value.empty(), name, ": ", key,
               ": expected a list of rows");
    const Json rows = value[0].is_array() ? value : Json::array({value});
    if (batch_size == 0) {
      batch_size = static_cast<std::int64_t>(rows.size());
      sequence_length = static_cast<std::int64_t>(rows[0].size());
    }
    M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_equal(rows.size(), batch_size), name, ": ",
               key, ": expected ", batch_size, " rows, got ", rows.size());
    std::vector<T> flat;
    flat.reserve(static_cast<std::size_t>(batch_size * sequence_length));
    for (std::size_t row = 0; row < rows.size(); ++row) append_row(flat, rows, key, row, low, high);
    return flat;
  }

  template <typename T>
  void append_row(std::vector<T>& flat, const Json& rows, const char* key, std::size_t row,
                  std::int64_t low, std::int64_t high) {
    const Json& values = rows[row];
    M2_REQUIRE(ErrorCode::kInvalidArgument,
               values.is_array() && std::cmp_equal(values.size(), sequence_length), name, ": ", key,
               "[", row, "]: expected a list of ", sequence_length, " numbers, got ",
               values.is_array() ? std::to_string(values.size()) : values.dump());
    for (std::size_t column = 0; column < values.size(); ++column) {
      const Json& item = values[column];
      const bool fits = item.is_number_integer() && item >= low && item <= high;
      M2_REQUIRE(ErrorCode::kInvalidArgument, fits, name, ": ", key, "[", row, "][", column,
                 "]: expected an integer from ", low, " to ", high, ", got ", item.dump());
      flat.push_back(static_cast<T>(item.get<std::int64_t>()));
    }
  }
};

bool has(const Json& root, const char* key) { return root.contains(key) && !root[key].is_null(); }

template <typename T>
TensorView view_of(const std::vector<T>& values, const Shape& shape) {
  if (values.empty()) return {};
  return {const_cast<T*>(values.data()), DTypeOf<T>::kValue, shape};
}

}  // namespace

ForwardInputs BatchInputs::forward_inputs() const {
  const Shape shape = {batch_size, sequence_length};
  return {.input_ids = view_of(input_ids, shape),
          .attention_mask = view_of(attention_mask, shape),
          .position_ids = view_of(position_ids, shape),
          .use_cache = false,
          .labels = view_of(labels, shape)};
}

GenerateInputs BatchInputs::generate_inputs() const {
  const Shape shape = {batch_size, sequence_length};
  GenerateInputs inputs;
  inputs.input_ids = view_of(input_ids, shape);
  inputs.attention_mask = view_of(attention_mask, shape);
  inputs.position_ids = view_of(position_ids, shape);
  return inputs;
}

BatchInputs parse_batch_inputs(std::string_view json, const std::string& name) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  M2_REQUIRE(ErrorCode::kInvalidArgument, root.is_object() && has(root, "input_ids"), name,
             ": expected a JSON object with \"input_ids\"");
  for (const auto& [key, value] : root.items()) {
    M2_REQUIRE(
        ErrorCode::kInvalidArgument,
        key == "input_ids" || key == "attention_mask" || key == "position_ids" || key == "labels",
        name, ": unknown key \"", key, "\"");
  }
  constexpr std::int64_t kMaxId = std::numeric_limits<std::int32_t>::max();
  BatchInputs inputs;
  RowReader reader{root, name};
  inputs.input_ids = reader.read<std::int32_t>("input_ids", 0, kMaxId);
  if (has(root, "attention_mask")) {
    inputs.attention_mask = reader.read<std::uint8_t>("attention_mask", 0, 1);
  }
  if (has(root, "position_ids")) {
    inputs.position_ids = reader.read<std::int64_t>("position_ids", 0, kMaxId);
  }
  if (has(root, "labels")) inputs.labels = reader.read<std::int64_t>("labels", -kMaxId, kMaxId);
  inputs.batch_size = reader.batch_size;
  inputs.sequence_length = reader.sequence_length;
  return inputs;
}

}  // namespace m2
