#include "generation/generate/model_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2::generation {
namespace {

// cumsum(mask) - 1, and 1 where the mask is 0; then what comes next.
std::vector<std::int64_t> positions_of(const std::vector<std::uint8_t>& mask, std::int64_t& next) {
  std::vector<std::int64_t> positions;
  positions.reserve(mask.size());
  next = 0;
  for (const std::uint8_t is_real : mask) positions.push_back(is_real != 0 ? next++ : 1);
  return positions;
}

// Every row of [rows, columns, width] f32 `copies` times, next to each other.
Tensor repeat_rows(const TensorView& source, std::int64_t copies) {
  const Shape& shape = source.shape;
  Tensor repeated(source.dtype, {shape[0] * copies, shape[1], shape[2]});
  const auto row_size = static_cast<std::size_t>(shape[1] * shape[2]);
  for (std::size_t row = 0; row < static_cast<std::size_t>(shape[0] * copies); ++row) {
    std::copy_n(source.as<float>() + row / static_cast<std::size_t>(copies) * row_size, row_size,
                repeated.as<float>() + row * row_size);
  }
  return repeated;
}

}  // namespace

ModelRun::ModelRun(const GeneratingModel& model, PromptColumns prompt, std::shared_ptr<Cache> cache,
                   RunOptions options)
    : model_(model), prompt_(std::move(prompt)), cache_(std::move(cache)), options_(options) {
  shares_prompt_ = cache_ != nullptr && options_.copies > 1;
  const bool records = options_.output_hidden_states || options_.output_attentions;
  if (shares_prompt_ && (records || cache_->batch_size() > prompt_.num_prompts)) {
    if (cache_->batch_size() == prompt_.num_prompts) {
      cache_->batch_repeat_interleave(options_.copies);
    }
    shares_prompt_ = false;
  }
  for (const auto& positions : prompt_.positions) {
    next_position_.push_back(positions.back() + (prompt_.stale_positions ? 0 : 1));
  }
  if (!prompt_.positions.empty() || prompt_.position_rule == PositionRule::kColumns) return;
  for (const auto& mask : prompt_.mask) {
    prompt_.positions.push_back(positions_of(mask, next_position_.emplace_back()));
  }
}

void ModelRun::prefill(std::span<const Ids> rows, std::int64_t chunk_size) {
  const std::int64_t end = num_columns(static_cast<std::int64_t>(rows[0].size()));
  const std::vector<Ids> firsts = shares_prompt_ ? first_copies(rows) : std::vector<Ids>();
  for (std::int64_t begin = num_cached(); begin + chunk_size < end; begin += chunk_size) {
    (void)feed(shares_prompt_ ? firsts : rows, begin, begin + chunk_size, 1);
  }
}

std::vector<Ids> ModelRun::first_copies(std::span<const Ids> rows) const {
  std::vector<Ids> firsts;
  const auto copies = static_cast<std::size_t>(options_.copies);
  for (std::size_t row = 0; row < rows.size(); row += copies) firsts.push_back(rows[row]);
  return firsts;
}

MoeCausalLMOutputWithPast ModelRun::advance(std::span<const Ids> rows, std::int64_t num_logits) {
  const std::int64_t end = num_columns(static_cast<std::int64_t>(rows[0].size()));
  if (!shares_prompt_) return feed(rows, num_cached(), end, num_logits);
  MoeCausalLMOutputWithPast outputs = feed(first_copies(rows), num_cached(), end, num_logits);
  cache_->batch_repeat_interleave(options_.copies);
  outputs.logits = repeat_rows(outputs.logits.view(), options_.copies);
  shares_prompt_ = false;
  return outputs;
}

void ModelRun::reorder(std::span<const std::int64_t> parents) {
  if (cache_) cache_->reorder_cache(parents);
}

void ModelRun::crop(std::int64_t num_tokens) {
  if (cache_) cache_->crop(num_columns(num_tokens));
}

MoeCausalLMOutputWithPast ModelRun::feed(std::span<const Ids> rows, std::int64_t begin,
                                         std::int64_t end, std::int64_t num_logits) {
  M2_CHECK(begin < end, "nothing to feed: columns ", begin, " to ", end);
  inputs_ = {};
  inputs_.past_key_values = cache_;
  inputs_.use_cache = cache_ != nullptr;
  inputs_.output_hidden_states = options_.output_hidden_states;
  inputs_.output_attentions = options_.output_attentions;
  inputs_.output_router_logits = false;
  inputs_.logits_to_keep = num_logits;
  if (prompt_.inputs_embeds.present() && begin < prompt_.count) {
    set_embeds(rows.size(), begin, end);
  } else {
    set_tokens(rows, begin, end);
  }
  set_mask(rows.size(), end);
  set_positions(rows.size(), begin, end);
  return model_.forward(inputs_);
}

void ModelRun::set_tokens(std::span<const Ids> rows, std::int64_t begin, std::int64_t end) {
  const std::int64_t offset = num_columns(0);
  tokens_.clear();
  for (const Ids& row : rows) {
    M2_CHECK(row.size() == rows[0].size(), "rows of ", rows[0].size(), " and ", row.size());
    tokens_.insert(tokens_.end(), row.begin() + (begin - offset), row.begin() + (end - offset));
  }
  inputs_.input_ids = {.data = tokens_.data(),
                       .dtype = DType::kI32,
                       .shape = {static_cast<std::int64_t>(rows.size()), end - begin}};
}

void ModelRun::set_embeds(std::size_t num_rows, std::int64_t begin, std::int64_t end) {
  M2_CHECK(end <= prompt_.count, "embeddings and tokens in one pass");
  const TensorView& all = prompt_.inputs_embeds;
  embeds_ = Tensor(all.dtype, {static_cast<std::int64_t>(num_rows), end - begin, all.shape[2]});
  const auto column_bytes = static_cast<std::size_t>(all.shape[2]) * dtype_size(all.dtype);
  const auto num_bytes = static_cast<std::size_t>(end - begin) * column_bytes;
  for (std::size_t row = 0; row < num_rows; ++row) {
    const std::size_t column = prompt_of(row, num_rows) * static_cast<std::size_t>(prompt_.count) +
                               static_cast<std::size_t>(begin);
    std::memcpy(static_cast<std::byte*>(embeds_.view().data) + row * num_bytes,
                static_cast<const std::byte*>(all.data) + column * column_bytes, num_bytes);
  }
  inputs_.inputs_embeds = embeds_.view();
}

void ModelRun::set_mask(std::size_t num_rows, std::int64_t end) {
  if (prompt_.mask.empty()) return;
  const auto columns = static_cast<std::size_t>(end);
  mask_.assign(num_rows * columns, 1);
  for (std::size_t row = 0; row < num_rows; ++row) {
    const auto& mask = prompt_.mask[prompt_of(row, num_rows)];
    std::copy_n(mask.begin(), std::min(mask.size(), columns),
                mask_.begin() + static_cast<std::ptrdiff_t>(row * columns));
  }
  inputs_.attention_mask = {.data = mask_.data(),
                            .dtype = DType::kU8,
                            .shape = {static_cast<std::int64_t>(num_rows), end}};
}

void ModelRun::set_positions(std::size_t num_rows, std::int64_t begin, std::int64_t end) {
  if (prompt_.positions.empty()) return;
  positions_.clear();
  for (std::size_t row = 0; row < num_rows; ++row) {
    for (std::int64_t column = begin; column < end; ++column) {
      positions_.push_back(position_of(prompt_of(row, num_rows), column));
    }
  }
  inputs_.position_ids = {.data = positions_.data(),
                          .dtype = DType::kI64,
                          .shape = {static_cast<std::int64_t>(num_rows), end - begin}};
}

std::int64_t ModelRun::position_of(std::size_t prompt, std::int64_t column) const {
  if (column < prompt_.count) return prompt_.positions[prompt][static_cast<std::size_t>(column)];
  return next_position_[prompt] + (prompt_.stale_positions ? 0 : column - prompt_.count);
}

}  // namespace m2::generation
