#include "generation/generate/prompt.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "model/forward_plan.h"

namespace m2::generation {
namespace {

constexpr auto kInvalid = ErrorCode::kInvalidArgument;

template <typename T, typename Values>
std::vector<std::vector<T>> split_rows(const Values& values, const Shape& shape) {
  std::vector<std::vector<T>> rows(static_cast<std::size_t>(shape[0]));
  for (std::size_t i = 0; i < values.size(); ++i) {
    rows[i / static_cast<std::size_t>(shape[1])].push_back(static_cast<T>(values[i]));
  }
  return rows;
}

std::vector<std::uint8_t> read_bits(const char* name, const TensorView& view) {
  const auto count = static_cast<std::size_t>(view.num_elements());
  std::vector<std::uint8_t> bits(count);
  if (view.dtype == DType::kBool || view.dtype == DType::kU8 || view.dtype == DType::kI8) {
    const auto* bytes = static_cast<const std::uint8_t*>(view.data);
    for (std::size_t i = 0; i < count; ++i) bits[i] = bytes[i] != 0 ? 1 : 0;
  } else if (view.dtype == DType::kF32) {
    for (std::size_t i = 0; i < count; ++i) bits[i] = view.as<float>()[i] != 0.0F ? 1 : 0;
  } else {
    const auto values = read_integers(name, view);
    for (std::size_t i = 0; i < count; ++i) bits[i] = values[i] != 0 ? 1 : 0;
  }
  return bits;
}

bool is_padding_known(const std::vector<Ids>& prompts, const GenerationConfig& config,
                      std::vector<std::string>& warnings) {
  if (!config.pad_token_id) return false;
  const std::int32_t pad = *config.pad_token_id;
  const bool occurs = std::ranges::any_of(
      prompts, [&](const Ids& row) { return std::ranges::count(row, pad) > 0; });
  if (!occurs) return false;
  const auto eos = config.eos_token_id.value_or(Ids{});
  if (std::ranges::count(eos, pad) == 0) return true;
  warnings.push_back(concat("attention_mask: not given, and the padding token ", pad,
                            " also ends sequences, so that all tokens count as text"));
  return false;
}

std::vector<std::vector<std::uint8_t>> infer_mask(const std::vector<Ids>& prompts,
                                                  std::int32_t pad) {
  std::vector<std::vector<std::uint8_t>> mask;
  for (const Ids& row : prompts) {
    auto& bits = mask.emplace_back();
    for (const std::int32_t id : row) bits.push_back(id == pad ? 0 : 1);
  }
  return mask;
}

void warn_of_right_padding(const std::vector<Ids>& prompts, const GenerationConfig& config,
                           std::vector<std::string>& warnings) {
  if (prompts.size() < 2 || !config.pad_token_id) return;
  const bool ends_with_pad = std::ranges::any_of(
      prompts, [&](const Ids& row) { return !row.empty() && row.back() == *config.pad_token_id; });
  if (ends_with_pad) {
    warnings.emplace_back(
        "input_ids: a row ends with the padding token; generation goes on behind it, so pad on "
        "the left");
  }
}

void check_embeds(const GenerateInputs& inputs) {
  if (!inputs.inputs_embeds.present()) return;
  const Shape& shape = inputs.inputs_embeds.shape;
  M2_REQUIRE(kInvalid, shape.rank() == 3 && shape[0] > 0 && shape[1] > 0,
             "inputs_embeds: expected [B, P, H], got ", shape);
  if (!inputs.input_ids.present()) return;
  M2_REQUIRE(kInvalid, inputs.input_ids.shape == Shape({shape[0], shape[1]}),
             "input_ids: expected the rows and columns of inputs_embeds ", shape, ", got ",
             inputs.input_ids.shape);
}

void read_positions(const GenerateInputs& inputs, PromptColumns& columns) {
  const Shape& shape = inputs.position_ids.shape;
  M2_REQUIRE(
      kInvalid,
      shape == Shape({columns.num_prompts, columns.count}) || shape == Shape({1, columns.count}),
      "position_ids: expected [", columns.num_prompts, " or 1, ", columns.count, "], got ", shape);
  columns.positions =
      split_rows<std::int64_t>(read_integers("position_ids", inputs.position_ids), shape);
  columns.positions.resize(static_cast<std::size_t>(columns.num_prompts), columns.positions[0]);
}

}  // namespace

std::vector<Ids> read_id_rows(const char* name, const TensorView& view) {
  M2_REQUIRE(kInvalid, view.shape.rank() == 2 && view.shape[0] > 0 && view.shape[1] > 0, name,
             ": expected [B, P] with at least one token, got ", view.shape);
  const auto ids = read_integers(name, view);
  for (const std::int64_t id : ids) {
    M2_REQUIRE(kInvalid, id >= 0 && id <= std::numeric_limits<std::int32_t>::max(), name,
               ": expected token ids, got ", id);
  }
  return split_rows<std::int32_t>(ids, view.shape);
}

std::vector<std::vector<std::uint8_t>> read_mask_rows(const char* name, const TensorView& view) {
  const auto bits = read_bits(name, view);
  if (std::ranges::count(bits, 0) == 0) return {};
  return split_rows<std::uint8_t>(bits, view.shape);
}

std::vector<Ids> read_prompts(const GenerateInputs& inputs, const GenerationConfig& config) {
  check_embeds(inputs);
  if (inputs.input_ids.present()) return read_id_rows("input_ids", inputs.input_ids);
  if (inputs.inputs_embeds.present()) {
    return std::vector<Ids>(static_cast<std::size_t>(inputs.inputs_embeds.shape[0]));
  }
  M2_REQUIRE(kInvalid, config.bos_token_id, "input_ids: not given, and there is no bos_token_id");
  return {{*config.bos_token_id}};
}

PromptColumns read_columns(const GenerateInputs& inputs, const std::vector<Ids>& prompts,
                           const GenerationConfig& config, bool strict,
                           std::vector<std::string>& warnings) {
  PromptColumns columns = {.num_prompts = static_cast<std::int64_t>(prompts.size()),
                           .count = static_cast<std::int64_t>(prompts[0].size()),
                           .inputs_embeds = inputs.inputs_embeds};
  if (inputs.inputs_embeds.present()) {
    columns.count = inputs.inputs_embeds.shape[1];
    columns.has_ids = inputs.input_ids.present();
  }
  if (inputs.attention_mask.present()) {
    const Shape expected = {columns.num_prompts, columns.count};
    M2_REQUIRE(kInvalid, inputs.attention_mask.shape == expected,
               "attention_mask: expected 2 dimensions, ", expected, ", got ",
               inputs.attention_mask.shape);
    columns.mask = read_mask_rows("attention_mask", inputs.attention_mask);
  } else if (is_padding_known(prompts, config, warnings)) {
    columns.mask = infer_mask(prompts, *config.pad_token_id);
  }
  if (inputs.position_ids.present()) {
    read_positions(inputs, columns);
    columns.stale_positions = strict;
  }
  warn_of_right_padding(prompts, config, warnings);
  return columns;
}

}  // namespace m2::generation
