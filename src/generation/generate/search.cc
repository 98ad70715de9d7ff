#include "generation/generate/search.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "generation/generate/prompt.h"
#include "generation/logits_processors.h"
#include "generation/mode.h"

namespace m2::generation {
namespace {

std::vector<Ids> repeat(const std::vector<Ids>& prompts, std::int64_t copies) {
  std::vector<Ids> rows;
  rows.reserve(prompts.size() * static_cast<std::size_t>(copies));
  for (const Ids& prompt : prompts) {
    for (std::int64_t copy = 0; copy < copies; ++copy) rows.push_back(prompt);
  }
  return rows;
}

// [R, 1, V] as [R, V], copied.
Tensor copy_rows(const Tensor& logits) {
  TensorView view = logits.view();
  view.shape = {view.num_elements() / view.shape[view.shape.rank() - 1],
                view.shape[view.shape.rank() - 1]};
  return Tensor::copy_of(view);
}

// Beams need a token that does not end the text besides those that do.
std::int64_t min_tokens_to_keep(const GenerationConfig& config) {
  if (config.num_beams.value_or(1) == 1) return 1;
  const std::size_t num_eos = config.eos_token_id ? config.eos_token_id->size() : 1;
  return static_cast<std::int64_t>(num_eos) + 1;
}

}  // namespace

Search::Search(const GeneratingModel& model, SearchInputs inputs, const GenerateOptions& options)
    : config_(std::move(inputs.config)),
      options_(options),
      num_prompts_(static_cast<std::int64_t>(inputs.prompts.size())),
      prompt_length_(static_cast<std::int64_t>(inputs.prompts[0].size())),
      copies_(inputs.copies),
      vocab_size_(model.vocab_size),
      max_position_embeddings_(model.max_position_embeddings),
      seed_(inputs.seed),
      rows_(repeat(inputs.prompts, inputs.copies)),
      run_(model, std::move(inputs.columns), std::move(inputs.cache), run_options()),
      guidance_(make_guidance(model)),
      scratch_(model.vocab_size),
      pipeline_(build_pipeline(config_, pipeline_options())),
      stopping_(config_, options) {}

RunOptions Search::run_options() const {
  return {.copies = copies_,
          .output_hidden_states = records_hidden_states(),
          .output_attentions = records_attentions()};
}

PipelineOptions Search::pipeline_options() const {
  PipelineOptions pipeline = {.vocab_size = vocab_size_,
                              .num_valid_tokens = options_.num_valid_tokens,
                              .prompt_length = prompt_length_,
                              .min_tokens_to_keep = min_tokens_to_keep(config_)};
  if (options_.prefix_allowed_tokens_fn) {
    pipeline.allowed_tokens = [allowed =
                                   options_.prefix_allowed_tokens_fn](const StepContext& context) {
      return allowed(context.batch_index, context.ids);
    };
  }
  for (const auto& [name, process] : options_.logits_processor) {
    pipeline.custom.push_back(
        {.name = name,
         .run = [run = process](const StepContext& context, std::span<float> scores,
                                LogitsScratch&) { run(context.ids, context.row, scores); }});
  }
  return pipeline;
}

LogitsPipeline Search::make_pipeline(GenerationConfig config) const {
  config.guidance_scale.reset();
  return build_pipeline(config, pipeline_options());
}

std::optional<Guidance> Search::make_guidance(const GeneratingModel& model) const {
  if (config_.guidance_scale.value_or(1.0) == 1.0) return std::nullopt;
  std::vector<Ids> negative;
  PromptColumns columns = {.num_prompts = num_prompts_, .position_rule = PositionRule::kColumns};
  if (options_.negative_prompt_ids.present()) {
    negative = read_id_rows("negative_prompt_ids", options_.negative_prompt_ids);
    M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_equal(negative.size(), num_prompts_),
               "negative_prompt_ids: expected ", num_prompts_, " rows, got ", negative.size());
  } else {
    M2_REQUIRE(ErrorCode::kInvalidArgument, prompt_length_ > 0,
               "guidance_scale: needs negative_prompt_ids where there are no input_ids");
    for (std::size_t row = 0; row < rows_.size(); row += static_cast<std::size_t>(copies_)) {
      negative.push_back({rows_[row].back()});
    }
  }
  columns.count = static_cast<std::int64_t>(negative[0].size());
  if (options_.negative_prompt_attention_mask.present()) {
    const TensorView& mask = options_.negative_prompt_attention_mask;
    M2_REQUIRE(ErrorCode::kInvalidArgument, mask.shape == Shape({num_prompts_, columns.count}),
               "negative_prompt_attention_mask: expected [", num_prompts_, ", ", columns.count,
               "], got ", mask.shape);
    columns.mask = read_mask_rows("negative_prompt_attention_mask", mask);
  }
  return Guidance(model, std::move(negative), std::move(columns), prompt_length_, copies_,
                  config_.use_cache.value_or(true));
}

void Search::prefill() {
  if (!config_.prefill_chunk_size) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, run_.cache() != nullptr,
             "prefill_chunk_size: needs a cache");
  run_.prefill(rows_, *config_.prefill_chunk_size);
}

MoeCausalLMOutputWithPast Search::advance(std::span<const Ids> rows, std::int64_t num_logits) {
  M2_REQUIRE(ErrorCode::kCancelled, !options_.stop.stop_requested(), "generation was cancelled");
  num_logits_ = num_logits;
  if (guidance_) unconditional_ = guidance_->advance(rows, num_logits);
  MoeCausalLMOutputWithPast outputs = run_.advance(rows, num_logits);
  for (std::string& warning : outputs.warnings) {
    if (std::ranges::count(output_.warnings, warning) > 0) continue;
    output_.warnings.push_back(std::move(warning));
  }
  return outputs;
}

Tensor Search::next_scores(ScoreKind kind) {
  MoeCausalLMOutputWithPast outputs = advance(rows_, 1);
  if (records_logits()) output_.logits.push_back(copy_rows(outputs.logits));
  if (records_hidden_states()) output_.hidden_states.push_back(std::move(outputs.hidden_states));
  if (records_attentions()) output_.attentions.push_back(std::move(outputs.attentions));
  const auto width = static_cast<std::size_t>(vocab_size_);
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    const std::span<float> scores(outputs.logits.as<float>() + row * width, width);
    if (kind == ScoreKind::kLogProbs) log_softmax(scores);
    process(rows_[row], static_cast<std::int64_t>(row), 0, scores);
  }
  if (records_scores()) output_.scores.push_back(copy_rows(outputs.logits));
  return std::move(outputs.logits);
}

void Search::process(std::span<const std::int32_t> ids, std::int64_t row, std::int64_t position,
                     std::span<float> scores) {
  // The reference counts the rows of a sampled prompt as prompts.
  const std::int64_t group = options_.strict ? config_.num_beams.value_or(1) : copies_;
  StepContext context = {.ids = ids, .batch_index = row / group, .row = row};
  if (guidance_) {
    const auto num_valid = static_cast<std::size_t>(
        options_.num_valid_tokens > 0 ? options_.num_valid_tokens : vocab_size_);
    context.unconditional = {
        unconditional_.as<float>() + (row * num_logits_ + position) * vocab_size_, num_valid};
  }
  pipeline_.apply(context, scores, scratch_);
}

void Search::reorder(std::span<const std::int64_t> parents) {
  run_.reorder(parents);
  // The reference leaves the unconditional cache in the old order.
  if (guidance_ && !options_.strict) guidance_->reorder(parents);
}

void Search::crop(std::int64_t num_tokens) {
  run_.crop(num_tokens);
  if (guidance_) guidance_->crop(num_tokens);
}

DrawKey Search::draw_key(std::int64_t row, std::size_t length, DrawPurpose purpose) const {
  return {.seed = seed_,
          .sequence = static_cast<std::uint32_t>(row),
          .position = static_cast<std::uint64_t>(length),
          .purpose = purpose};
}

std::int32_t Search::choose(std::span<const float> scores, std::int64_t row,
                            std::size_t length) const {
  return do_sample() ? sample(scores, draw_key(row, length, DrawPurpose::kToken)) : argmax(scores);
}

void Search::stream(std::span<const std::int32_t> tokens) {
  if (options_.streamer == nullptr) return;
  const std::vector<std::int64_t> ids(tokens.begin(), tokens.end());
  options_.streamer->put(ids);
}

void Search::end_stream() {
  if (options_.streamer != nullptr) options_.streamer->end();
}

GenerateOutput Search::finish() {
  if (!output_.sequences.present()) output_.sequences = to_tensor(rows_);
  if (config_.return_dict_in_generate.value_or(false)) output_.past_key_values = run_.cache();
  const std::int64_t length = run_.num_columns(output_.sequences.shape()[1]);
  if (max_position_embeddings_ > 0 && length > max_position_embeddings_) {
    output_.warnings.push_back(concat("max_length: ", length,
                                      " tokens are more than the model was made for, ",
                                      max_position_embeddings_));
  }
  return std::move(output_);
}

Tensor to_tensor(std::span<const Ids> rows) {
  const auto columns = rows.empty() ? 0 : rows[0].size();
  Tensor tensor(DType::kI64,
                {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(columns)});
  auto* next = tensor.as<std::int64_t>();
  for (const Ids& row : rows) next = std::ranges::copy(row, next).out;
  return tensor;
}

}  // namespace m2::generation
