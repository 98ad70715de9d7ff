#include "service/loaded_model.h"

#include <algorithm>
#include <utility>

#include "backends/backends.h"
#include "base/error.h"
#include "base/memory_info.h"
#include "checkpoint/checkpoint.h"
#include "generation/generate/generate.h"
#include "model/inspect.h"
#include "model/place_weights.h"

namespace m2 {

LoadedModel::LoadedModel(const std::filesystem::path& directory, const LoadOptions& options)
    : directory_(directory),
      config_(MiniMaxM2Config::from_pretrained(directory, {.warnings = &warnings_})),
      generation_config_(GenerationConfig::from_pretrained(directory)) {
  if (std::filesystem::exists(directory / "tokenizer.json")) {
    tokenizer_ = Tokenizer::from_pretrained(directory);
    M2_REQUIRE(
        ErrorCode::kCorruptFile, std::cmp_less_equal(tokenizer_->id_limit(), config_.vocab_size),
        (directory / "tokenizer.json").string(), ": token ids up to ", tokenizer_->id_limit() - 1,
        ", but vocab_size of config.json is ", config_.vocab_size);
  }
  const ModelWeights mapped =
      load_weights(config_, Checkpoint::open(directory), &report_, options.progress);
  std::ranges::copy(report_.warnings, std::back_inserter(warnings_));
  for (const std::string& name : report_.unexpected) {
    warnings_.push_back("unexpected tensor " + name + " is not used");
  }
  const std::shared_ptr<Backend> backend = make_backend(options.device, options.num_threads);
  const Placement placement = Placement::on(backend, config_.num_hidden_layers);
  causal_lm_ = std::make_unique<CausalLm>(
      config_, std::make_shared<const ModelWeights>(place_weights(mapped, placement)), placement);
}

const Tokenizer& LoadedModel::tokenizer() const {
  M2_REQUIRE(ErrorCode::kNotFound, tokenizer_.has_value(), directory_.string(),
             ": there is no tokenizer.json");
  return *tokenizer_;
}

std::int64_t LoadedModel::num_valid_tokens() const {
  return tokenizer_ ? static_cast<std::int64_t>(tokenizer_->id_limit()) : config_.vocab_size;
}

GenerateOutput LoadedModel::generate(const GenerateInputs& inputs, const GenerationConfig& call,
                                     const std::stop_token& stop) {
  const GenerateOptions options = {.tokenizer = tokenizer_ ? &*tokenizer_ : nullptr,
                                   .stop = stop,
                                   .num_valid_tokens = num_valid_tokens()};
  return generation::generate(generation::generating_model(*causal_lm_, generation_config_),
                              nullptr, inputs, call, options);
}

std::int64_t LoadedModel::default_context() const {
  const std::int64_t free_bytes = available_memory_bytes() / 2;
  if (free_bytes == 0) return config_.max_position_embeddings;
  const std::int64_t fitting = free_bytes / kv_bytes_per_token(config_, DType::kF32);
  return std::clamp<std::int64_t>(fitting, 1, config_.max_position_embeddings);
}

}  // namespace m2
