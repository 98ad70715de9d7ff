#include "model/config_json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>

#include "base/error.h"
#include "model/config_write.h"
#include "model/json_fields.h"
#include "model/rope_json.h"

namespace m2 {
namespace {

void warn(const ConfigOptions& options, std::string sentence) {
  if (options.warnings != nullptr) options.warnings->push_back(std::move(sentence));
}

void apply_rotary_dim(JsonFields& fields, MiniMaxM2Config& config, const ConfigOptions& options) {
  const Json* value = fields.find_value("rotary_dim");
  if (value == nullptr || options.strict) return;
  if (!value->is_number_integer()) fields.reject("rotary_dim", "an integer", *value);
  const auto rotary_dim = value->get<std::int64_t>();
  M2_REQUIRE(ErrorCode::kInvalidArgument, rotary_dim > 0 && rotary_dim <= config.head_dim,
             fields.where(), "rotary_dim: expected a number from 1 to head_dim ", config.head_dim,
             ", got ", rotary_dim);
  if (!config.rope.partial_rotary_factor.has_value()) {
    config.rope.partial_rotary_factor = partial_factor_of(rotary_dim, config.head_dim);
  } else if (std::trunc(*config.rope.partial_rotary_factor *
                        static_cast<double>(config.head_dim)) != static_cast<double>(rotary_dim)) {
    warn(options, fields.where() + "rotary_dim " + std::to_string(rotary_dim) +
                      " is ignored: partial_rotary_factor is given");
  }
}

// Returns the settings in the reference's form.
Json read_rope_settings(JsonFields& fields, MiniMaxM2Config& config, const ConfigOptions& options) {
  const std::string where = fields.where() + "rope_parameters: ";
  Json rope = standard_rope(fields, config.max_position_embeddings);
  config.rope = read_rope(rope, where);
  std::vector<std::string> warnings;
  check_rope(rope, config.rope, config.max_position_embeddings, where, warnings);
  for (auto& sentence : warnings) warn(options, std::move(sentence));
  apply_rotary_dim(fields, config, options);
  if (config.rope.partial_rotary_factor.has_value() && !rope.contains("partial_rotary_factor")) {
    rope["partial_rotary_factor"] = *config.rope.partial_rotary_factor;
  }
  return rope;
}

}  // namespace

double partial_factor_of(std::int64_t rotary_dim, std::int64_t head_dim) {
  const auto dim = static_cast<double>(head_dim);
  const double factor = static_cast<double>(rotary_dim) / dim;
  if (static_cast<std::int64_t>(factor * dim) >= rotary_dim) return factor;
  return std::nextafter(factor, std::numeric_limits<double>::infinity());
}

QuantizationConfig read_quantization(const Json& value, const std::string& where) {
  JsonFields quantization(value, where);
  M2_REQUIRE(ErrorCode::kInvalidArgument, quantization.find("quant_method") != nullptr,
             quantization.where(), "quant_method is missing");
  QuantizationConfig result;
  quantization.read("quant_method", result.quant_method);
  quantization.read("activation_scheme", result.activation_scheme);
  std::transform(result.activation_scheme.begin(), result.activation_scheme.end(),
                 result.activation_scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  quantization.read("dequantize", result.dequantize);
  if (quantization.find_value("modules_to_not_convert") != nullptr) {
    quantization.read("modules_to_not_convert", result.modules_to_not_convert.emplace());
  }
  if (const Json* block = quantization.find("weight_block_size")) {
    std::vector<std::int64_t> sizes;
    quantization.read_ids("weight_block_size", sizes);
    if (!block->is_null() && sizes.size() != 2) {
      quantization.reject("weight_block_size", "two sizes", *block);
    }
    result.weight_block_size.reset();
    if (!sizes.empty()) result.weight_block_size = {{sizes[0], sizes[1]}};
  }
  return result;
}

namespace {

void require_value(const JsonFields& fields, const char* key, const Json& only) {
  const auto value = fields.object().find(key);
  if (value == fields.object().end() || value->is_null()) return;
  M2_REQUIRE(ErrorCode::kUnsupported, *value == only, fields.where(), key, ": only ", only.dump(),
             " is supported, got ", value->dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Keys of the published files that the reference ignores because the model has one form only. They
// stay extra keys, but another value than the one implemented is refused.
void check_fixed_keys(const JsonFields& fields) {
  require_value(fields, "use_qk_norm", true);
  require_value(fields, "qk_norm_type", "per_layer");
  require_value(fields, "use_routing_bias", true);
  require_value(fields, "scoring_func", "sigmoid");
  require_value(fields, "shared_intermediate_size", 0);
  require_value(fields, "sliding_window", nullptr);
  const auto types = fields.object().find("attn_type_list");
  if (types == fields.object().end() || !types->is_array()) return;
  const bool softmax =
      std::all_of(types->begin(), types->end(), [](const Json& type) { return type == 1; });
  M2_REQUIRE(ErrorCode::kUnsupported, softmax, fields.where(),
             "attn_type_list: only full attention (1) is supported, got another value");
}

void read_dtype(JsonFields& fields, MiniMaxM2Config& config) {
  fields.read("torch_dtype", config.dtype);
  std::optional<std::string> dtype;
  fields.read("dtype", dtype);
  if (dtype.has_value()) config.dtype = dtype;
  if (!config.dtype.has_value()) return;
  static constexpr std::string_view kKnown[] = {"float32",  "float",   "float16", "half",
                                                "bfloat16", "float64", "double",  "float8_e4m3fn"};
  const auto* found = std::find(std::begin(kKnown), std::end(kKnown), *config.dtype);
  M2_REQUIRE(ErrorCode::kUnsupported, found != std::end(kKnown), fields.where(), "dtype \"",
             *config.dtype, "\" is not supported");
}

void read_fields(JsonFields& fields, MiniMaxM2Config& config) {
  fields.read("vocab_size", config.vocab_size);
  fields.read("hidden_size", config.hidden_size);
  fields.read("intermediate_size", config.intermediate_size);
  fields.read("num_hidden_layers", config.num_hidden_layers);
  fields.read("num_attention_heads", config.num_attention_heads);
  fields.read("num_key_value_heads", config.num_key_value_heads);
  fields.read("head_dim", config.head_dim);
  fields.read("hidden_act", config.hidden_act);
  fields.read("max_position_embeddings", config.max_position_embeddings);
  fields.read("initializer_range", config.initializer_range);
  fields.read("rms_norm_eps", config.rms_norm_eps);
  fields.read("use_cache", config.use_cache);
  fields.read("return_dict", config.return_dict);
  fields.read("output_hidden_states", config.output_hidden_states);
  fields.read("output_attentions", config.output_attentions);
  fields.read("pad_token_id", config.pad_token_id);
  fields.read("bos_token_id", config.bos_token_id);
  fields.read_ids("eos_token_id", config.eos_token_ids);
  fields.read("tie_word_embeddings", config.tie_word_embeddings);
  fields.read("attention_dropout", config.attention_dropout);
  fields.read("num_experts_per_tok", config.num_experts_per_tok);
  fields.read("num_local_experts", config.num_local_experts);
  fields.read("num_experts", config.num_local_experts);  // set last by the reference, so it wins
  fields.read("output_router_logits", config.output_router_logits);
  fields.read("router_aux_loss_coef", config.router_aux_loss_coef);
  fields.read("router_jitter_noise", config.router_jitter_noise);
  if (fields.find_value("architectures") != nullptr) {
    fields.read("architectures", config.architectures);
  }
}

// These influence the settings above but remain keys of the config, as in the reference.
bool stays_extra(const std::string& key) {
  return key == "rotary_dim" || key == "partial_rotary_factor" ||
         key == "original_max_position_embeddings";
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What the reference drops: generation parameters (they are read from the file by
// GenerationConfig) and what belongs to one load.
bool is_dropped(const std::string& key) {
  static const std::set<std::string> kDropped = {"name_or_path",
                                                 "_name_or_path",
                                                 "_commit_hash",
                                                 "attn_implementation",
                                                 "_attn_implementation",
                                                 "experts_implementation",
                                                 "_experts_implementation",
                                                 "torch_dtype",
                                                 "num_labels",
                                                 "ignore_keys_at_rope_validation"};
  return kDropped.contains(key) || is_generation_parameter(key);
}

void keep_unknown_keys(const JsonFields& fields, MiniMaxM2Config& config) {
  for (const auto& [key, value] : fields.object().items()) {
    if ((fields.known().contains(key) && !stays_extra(key)) || is_dropped(key)) continue;
    config.extra.emplace_back(key, text_of(value));
  }
}

// `num_labels` stands for maps with that many names, unless id2label is there.
void expand_num_labels(JsonFields& fields, MiniMaxM2Config& config) {
  constexpr std::int64_t kMaxLabels = 1 << 16;
  std::optional<std::int64_t> count;
  fields.read("num_labels", count);
  if (!count.has_value() || fields.object().contains("id2label")) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, *count >= 0 && *count <= kMaxLabels, fields.where(),
             "num_labels: expected a number from 0 to ", kMaxLabels, ", got ", *count);
  Json names = Json::object();
  Json ids = Json::object();
  for (std::int64_t i = 0; i < *count; ++i) {
    const std::string name = "LABEL_" + std::to_string(i);
    names[std::to_string(i)] = name;
    ids[name] = i;
  }
  config.extra.emplace_back("id2label", text_of(names));
  config.extra.emplace_back("label2id", text_of(ids));
}

void check_problem_type(const JsonFields& fields) {
  const auto type = fields.object().find("problem_type");
  if (type == fields.object().end() || type->is_null() || *type == "regression" ||
      *type == "single_label_classification" || *type == "multi_label_classification") {
    return;
  }
  fields.reject("problem_type",
                "\"regression\", \"single_label_classification\" or "
                "\"multi_label_classification\"",
                *type);
}

// Remembers how known keys were written where to_json would write them differently.
void keep_spellings(const JsonFields& fields, const Json& rope, MiniMaxM2Config& config) {
  const Json canonical = class_fields(config);
  for (const auto& [key, value] : canonical.items()) {
    const auto found = fields.object().find(key);
    const Json* written = key == "rope_parameters"         ? &rope
                          : found == fields.object().end() ? nullptr
                                                           : &*found;
    if (written == nullptr || same_text(*written, value)) continue;
    config.spellings.emplace_back(key, text_of(*written));
  }
}

}  // namespace

MiniMaxM2Config read_config(std::string_view text, const std::string& file,
                            const ConfigOptions& options) {
  const Json json = parse_json_object(text, file);
  JsonFields fields(json, file + ": ");
  MiniMaxM2Config config;
  std::string model_type = "minimax_m2";
  fields.read("model_type", model_type);
  if (model_type != "minimax_m2") {
    warn(options, fields.where() + "model_type is \"" + model_type + "\", not \"minimax_m2\"");
  }
  fields.find("transformers_version");  // of the writer; not kept
  read_fields(fields, config);
  read_dtype(fields, config);
  M2_REQUIRE(ErrorCode::kInvalidArgument, config.head_dim > 0, fields.where(),
             "head_dim: expected a positive number, got ", config.head_dim);
  if (!options.strict) check_fixed_keys(fields);
  const Json rope = read_rope_settings(fields, config, options);
  if (const Json* quantization = fields.find_value("quantization_config")) {
    if (!quantization->is_object()) {
      fields.reject("quantization_config", "an object", *quantization);
    }
    config.quantization =
        read_quantization(*quantization, fields.where() + "quantization_config: ");
  }
  check_problem_type(fields);
  keep_unknown_keys(fields, config);
  expand_num_labels(fields, config);
  keep_spellings(fields, rope, config);
  return config;
}

}  // namespace m2
