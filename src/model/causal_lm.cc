#include "model/causal_lm.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "model/losses.h"

namespace m2 {
namespace {

void check_size(const char* name, std::size_t size, std::int64_t batch, std::int64_t length) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_equal(size, batch * length), name, ": expected ",
             batch, " rows of ", length, " elements, got ", size, " elements");
}

void check_inputs(const CausalLmInputs& inputs) {
  const std::int64_t batch = inputs.batch_size;
  const std::int64_t length = inputs.sequence_length;
  M2_REQUIRE(ErrorCode::kInvalidArgument, batch > 0 && length > 0,
             "input_ids: expected at least one row of at least one token, got [", batch, ", ",
             length, "]");
  check_size("input_ids", inputs.input_ids.size(), batch, length);
  if (!inputs.attention_mask.empty()) {
    check_size("attention_mask", inputs.attention_mask.size(), batch, length);
  }
  if (!inputs.position_ids.empty()) {
    check_size("position_ids", inputs.position_ids.size(), batch, length);
  }
  if (!inputs.labels.empty()) check_size("labels", inputs.labels.size(), batch, length);
}

std::vector<std::int64_t> default_positions(const CausalLmInputs& inputs) {
  std::vector<std::int64_t> positions(inputs.input_ids.size());
  for (std::int64_t row = 0; row < inputs.batch_size; ++row) {
    const auto begin = positions.begin() + row * inputs.sequence_length;
    std::iota(begin, begin + inputs.sequence_length, 0);
  }
  return positions;
}

template <typename T>
std::span<const T> row_of(const std::vector<T>& values, const CausalLmInputs& inputs,
                          std::int64_t row) {
  if (values.empty()) return {};
  const auto length = static_cast<std::size_t>(inputs.sequence_length);
  return std::span(values).subspan(static_cast<std::size_t>(row) * length, length);
}

}  // namespace

CausalLmOutputs causal_lm_forward(MiniMaxM2& model, const CausalLmInputs& inputs,
                                  const Study& study) {
  check_inputs(inputs);
  const MiniMaxM2Config& config = model.config();
  const std::int64_t length = inputs.sequence_length;
  constexpr std::int32_t kBlockSize = 32;
  const std::int64_t row_tokens = SequenceBlocks::blocks_for(length, kBlockSize) * kBlockSize;
  KvCache kv_cache(model.backend(), config,
                   {.num_tokens = inputs.batch_size * row_tokens, .block_size = kBlockSize});
  const auto positions =
      inputs.position_ids.empty() ? default_positions(inputs) : inputs.position_ids;

  std::vector<SequenceBlocks> blocks;
  blocks.reserve(static_cast<std::size_t>(inputs.batch_size));
  Batch batch;
  for (std::int64_t row = 0; row < inputs.batch_size; ++row) {
    auto& row_blocks = blocks.emplace_back(kv_cache.allocator(), kBlockSize);
    M2_CHECK(row_blocks.reserve(length), "the cache has room for every row");
    batch.add({.token_ids = row_of(inputs.input_ids, inputs, row),
               .position_ids = row_of(positions, inputs, row),
               .blocks = &row_blocks,
               .key_mask = row_of(inputs.attention_mask, inputs, row)});
  }
  batch.finish();

  CausalLmOutputs outputs;
  model.forward(batch, kv_cache,
                {.study = study,
                 .study_outputs = &outputs.study,
                 .fully_masked = study.attentions ? FullyMasked::kUniform : FullyMasked::kZero});
  std::vector<std::int32_t> rows(inputs.input_ids.size());
  std::iota(rows.begin(), rows.end(), 0);
  const TensorView logits = model.logits(rows);
  outputs.logits = Tensor(DType::kF32, {inputs.batch_size, length, config.vocab_size});
  std::copy_n(logits.as<float>(), logits.num_elements(), outputs.logits.as<float>());

  if (study.router_logits && config.num_hidden_layers > 0) {
    outputs.aux_loss = load_balancing_loss(outputs.study.router_logits, config.num_experts_per_tok,
                                           inputs.attention_mask);
  }
  if (!inputs.labels.empty()) {
    outputs.loss = causal_lm_loss(outputs.logits.view(), inputs.labels);
    if (outputs.aux_loss) {
      outputs.loss =
          *outputs.loss + static_cast<float>(config.router_aux_loss_coef) * *outputs.aux_loss;
    }
  }
  return outputs;
}

}  // namespace m2
