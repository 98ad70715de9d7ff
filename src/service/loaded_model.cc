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

std::filesystem::path find_path(const std::string& name, const FromPretrainedOptions& options) {
  HubOptions hub;
  hub.revision = options.revision;
  hub.cache_dir = options.cache_dir;
  hub.token = options.token;
  hub.force_download = options.force_download;
  hub.local_files_only = options.local_files_only;
  hub.allow_patterns = {"*.json", "*.safetensors", "*.jinja"};
  return hub::model_directory(name, hub);
}

// A model without a tokenizer can still compute.
std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& path) {
  try {
    return Tokenizer::from_pretrained(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
}

}  // namespace

LoadedModel::LoadedModel(const std::string& name, const FromPretrainedOptions& options)
    : path_(find_path(name, options)),
      model_(MiniMaxM2ForCausalLM::from_pretrained(path_.string(), options, &info_)) {
  tokenizer_ = find_tokenizer(path_);
  if (!tokenizer_.has_value()) return;
  M2_REQUIRE(ErrorCode::kCorruptFile,
             std::cmp_less_equal(tokenizer_->id_limit(), config().vocab_size), path_.string(),
             ": the tokenizer has ids up to ", tokenizer_->id_limit() - 1,
             ", but the model's vocab_size is ", config().vocab_size);
}

CausalLm& LoadedModel::causal_lm() { return *model_.impl().causal_lm; }

const Tokenizer& LoadedModel::tokenizer() const {
  M2_REQUIRE(ErrorCode::kNotFound, tokenizer_.has_value(), path_.string(),
             ": there is no tokenizer");
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

std::int64_t LoadedModel::default_context(KvFormat kv_format) const {
  const std::int64_t free_bytes = available_memory_bytes() / 2;
  if (free_bytes == 0) return config().max_position_embeddings;
  const std::int64_t fitting = free_bytes / kv_bytes_per_token(config(), kv_format);
  return std::clamp<std::int64_t>(fitting, 1, config().max_position_embeddings);
}

}  // namespace m2
