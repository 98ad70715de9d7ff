#include "model/config_write.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/reference_version.h"
#include "model/config_json.h"
#include "model/python_json.h"
#include "model/rope_json.h"

namespace m2 {
namespace {

Json optional_json(const std::optional<std::int64_t>& value) {
  return value.has_value() ? Json(*value) : Json();
}

Json ids_json(const std::vector<std::int64_t>& ids) {
  if (ids.empty()) return {};
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

// torch has two names for some types and prints the longer one.
std::string torch_dtype_name(const std::string& name) {
  if (name == "float") return "float32";
  if (name == "half") return "float16";
  if (name == "double") return "float64";
  return name;
}

Json quantization_json(const QuantizationConfig& quantization) {
  Json json = {{"quant_method", quantization.quant_method},
               {"activation_scheme", quantization.activation_scheme},
               {"weight_block_size", nullptr},
               {"modules_to_not_convert", nullptr},
               {"dequantize", quantization.dequantize}};
  if (quantization.weight_block_size) json["weight_block_size"] = *quantization.weight_block_size;
  if (quantization.modules_to_not_convert) {
    json["modules_to_not_convert"] = *quantization.modules_to_not_convert;
  }
  return json;
}

// The fields of the fp8 method are written only where they say something.
Json block_quantization_json(const QuantizationConfig& quantization) {
  Json json = quantization_json(quantization);
  const Json defaults = quantization_json(QuantizationConfig());
  for (const auto& [key, value] : defaults.items()) {
    if (key != "quant_method" && json[key] == value) json.erase(key);
  }
  return json;
}

Json parse_kept(const std::string& key, const std::string& text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  M2_REQUIRE(ErrorCode::kInvalidArgument, !value.is_discarded(), "config: ", key,
             ": the kept value is no JSON text");
  return value;
}

// Whether the form in the file still says what the field says.
bool says_the_same(const std::string& key, const Json& spelling, const MiniMaxM2Config& config,
                   const Json& canonical) {
  if (key == "rope_parameters") {
    return spelling.is_object() && read_rope(spelling, "config: ") == config.rope;
  }
  if (key == "quantization_config") {
    return spelling.is_object() && config.quantization.has_value() &&
           read_quantization(spelling, "config: ") == *config.quantization;
  }
  if (spelling.is_array() && spelling.size() == 1 && !canonical.is_array()) {
    return spelling.front() == canonical;
  }
  return spelling == canonical;
}

void apply_spellings(const MiniMaxM2Config& config, Json& json) {
  for (const auto& [key, text] : config.spellings) {
    if (!json.contains(key)) continue;
    const Json spelling = parse_kept(key, text);
    if (says_the_same(key, spelling, config, json[key])) json[key] = spelling;
  }
}

// Keys of every configuration, which are written only where they differ from these values.
const Json& generic_defaults() {
  static const Json kDefaults = {{"return_dict", true},
                                 {"output_hidden_states", false},
                                 {"output_attentions", false},
                                 {"chunk_size_feed_forward", 0},
                                 {"is_encoder_decoder", false},
                                 {"problem_type", nullptr},
                                 {"architectures", nullptr},
                                 {"dtype", nullptr},
                                 {"id2label", {{"0", "LABEL_0"}, {"1", "LABEL_1"}}},
                                 {"label2id", {{"LABEL_0", 0}, {"LABEL_1", 1}}}};
  return kDefaults;
}

// What the reference never writes, at any depth.
void remove_private_keys(Json& json) {
  for (const char* key :
       {"_is_quantized", "_auto_class", "_commit_hash", "_attn_implementation_internal",
        "_experts_implementation_internal", "base_model_tp_plan", "base_model_pp_plan"}) {
    json.erase(key);
  }
  for (auto& [key, value] : json.items()) {
    if (value.is_object()) remove_private_keys(value);
  }
}

void add_extra_keys(const MiniMaxM2Config& config, Json& json) {
  for (const auto& [key, text] : config.extra) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, !is_generation_parameter(key), "config: ", key,
               ": is a generation parameter, which belongs into the generation config");
    M2_REQUIRE(ErrorCode::kInvalidArgument, !json.contains(key), "config: extra: ", key,
               ": is a field of the config");
    json[key] = parse_kept(key, text);
  }
  // Names without ids: the reference then has none.
  if (json.contains("id2label") && !json["id2label"].is_null() && !json.contains("label2id")) {
    json["label2id"] = nullptr;
  }
}

}  // namespace

bool is_generation_parameter(std::string_view key) {
  static constexpr std::array<std::string_view, 33> kParameters = {
      "assistant_confidence_threshold",
      "assistant_lookbehind",
      "bad_words_ids",
      "begin_suppress_tokens",
      "diversity_penalty",
      "do_sample",
      "early_stopping",
      "encoder_no_repeat_ngram_size",
      "encoder_repetition_penalty",
      "epsilon_cutoff",
      "eta_cutoff",
      "exponential_decay_length_penalty",
      "forced_bos_token_id",
      "forced_eos_token_id",
      "length_penalty",
      "max_length",
      "min_length",
      "no_repeat_ngram_size",
      "num_assistant_tokens",
      "num_assistant_tokens_schedule",
      "num_beam_groups",
      "num_beams",
      "num_return_sequences",
      "output_scores",
      "remove_invalid_values",
      "repetition_penalty",
      "return_dict_in_generate",
      "suppress_tokens",
      "target_lookbehind",
      "temperature",
      "top_k",
      "top_p",
      "typical_p"};
  return std::find(kParameters.begin(), kParameters.end(), key) != kParameters.end();
}

bool same_text(const Json& a, const Json& b) { return python_json_text(a) == python_json_text(b); }

Json class_fields(const MiniMaxM2Config& config) {
  Json json = {{"model_type", "minimax_m2"},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"head_dim", config.head_dim},
               {"hidden_act", config.hidden_act},
               {"max_position_embeddings", config.max_position_embeddings},
               {"initializer_range", config.initializer_range},
               {"rms_norm_eps", config.rms_norm_eps},
               {"use_cache", config.use_cache},
               {"return_dict", config.return_dict},
               {"output_hidden_states", config.output_hidden_states},
               {"output_attentions", config.output_attentions},
               {"pad_token_id", optional_json(config.pad_token_id)},
               {"bos_token_id", optional_json(config.bos_token_id)},
               {"eos_token_id", ids_json(config.eos_token_ids)},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"attention_dropout", config.attention_dropout},
               {"num_experts_per_tok", config.num_experts_per_tok},
               {"num_local_experts", config.num_local_experts},
               {"output_router_logits", config.output_router_logits},
               {"router_aux_loss_coef", config.router_aux_loss_coef},
               {"router_jitter_noise", config.router_jitter_noise},
               {"rope_parameters", rope_json(config.rope)}};
  if (config.dtype) json["dtype"] = torch_dtype_name(*config.dtype);
  if (!config.architectures.empty()) json["architectures"] = config.architectures;
  if (config.quantization) {
    const bool blocks = config.quantization->quant_method == kBlockQuantMethod;
    json["quantization_config"] = blocks ? block_quantization_json(*config.quantization)
                                         : quantization_json(*config.quantization);
  }
  return json;
}

std::string MiniMaxM2Config::to_json() const {
  Json json = class_fields(*this);
  apply_spellings(*this, json);
  add_extra_keys(*this, json);
  for (const auto& [key, value] : generic_defaults().items()) {
    if (json.contains(key) && same_text(json[key], value)) json.erase(key);
  }
  remove_private_keys(json);
  json["transformers_version"] = kReferenceVersion;
  return python_json_text(json);
}

void MiniMaxM2Config::save_pretrained(const std::filesystem::path& directory) const {
  const std::string text = to_json();
  make_directory(directory);
  AtomicFile file(directory / "config.json");
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace m2
