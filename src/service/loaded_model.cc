#include "service/loaded_model.h"

#include <algorithm>
#include <utility>

#include "api/model_impl.h"
#include "base/error.h"
#include "base/memory_info.h"
#include "hub/model_directory.h"
#include "model/inspect.h"

namespace m2 {

namespace {

std::filesystem::path find_directory(const std::string& name,
                                     const FromPretrainedOptions& options) {
  HubOptions hub;
  hub.revision = options.revision;
  hub.cache_dir = options.cache_dir;
  hub.token = options.token;
  hub.force_download = options.force_download;
  hub.local_files_only = options.local_files_only;
  hub.allow_patterns = {"*.json", "*.safetensors", "*.jinja"};
  return hub::model_directory(name, hub);
}

}  // namespace

LoadedModel::LoadedModel(const std::string& name, const FromPretrainedOptions& options)
    : directory_(find_directory(name, options)),
      model_(MiniMaxM2ForCausalLM::from_pretrained(directory_.string(), options, &info_)) {
  if (!std::filesystem::exists(directory_ / "tokenizer.json")) return;
  tokenizer_ = Tokenizer::from_pretrained(directory_);
  M2_REQUIRE(
      ErrorCode::kCorruptFile, std::cmp_less_equal(tokenizer_->id_limit(), config().vocab_size),
      (directory_ / "tokenizer.json").string(), ": token ids up to ", tokenizer_->id_limit() - 1,
      ", but vocab_size of config.json is ", config().vocab_size);
}

CausalLm& LoadedModel::causal_lm() { return *model_.impl().causal_lm; }

const Tokenizer& LoadedModel::tokenizer() const {
  M2_REQUIRE(ErrorCode::kNotFound, tokenizer_.has_value(), directory_.string(),
             ": there is no tokenizer.json");
  return *tokenizer_;
}

std::int64_t LoadedModel::num_valid_tokens() const {
  return tokenizer_ ? static_cast<std::int64_t>(tokenizer_->id_limit()) : config().vocab_size;
}

GenerateOutput LoadedModel::generate(const GenerateInputs& inputs, const GenerationConfig& call,
                                     const std::stop_token& stop) {
  const GenerateOptions options = {.tokenizer = tokenizer_ ? &*tokenizer_ : nullptr,
                                   .stop = stop,
                                   .num_valid_tokens = num_valid_tokens()};
  return model_.generate(inputs, call, options);
}

std::int64_t LoadedModel::default_context() const {
  const std::int64_t free_bytes = available_memory_bytes() / 2;
  if (free_bytes == 0) return config().max_position_embeddings;
  const std::int64_t fitting = free_bytes / kv_bytes_per_token(config(), DType::kF32);
  return std::clamp<std::int64_t>(fitting, 1, config().max_position_embeddings);
}

}  // namespace m2
