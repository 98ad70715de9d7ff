#include "model/config_json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "model/json_fields.h"

namespace m2 {
namespace {

void warn(const ConfigOptions& options, std::string sentence) {
  if (options.warnings != nullptr) options.warnings->push_back(std::move(sentence));
}

// The rope settings: `rope_scaling` (legacy) replaces `rope_parameters` when it says anything.
Json rope_dictionary(JsonFields& fields) {
  Json dictionary = Json::object();
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* value = fields.find_value(key);
    if (value == nullptr) continue;
    if (!value->is_object()) fields.reject(key, "an object", *value);
    if (!value->empty()) dictionary = *value;
  }
  return dictionary;
}

RopeType rope_type(JsonFields& rope) {
  const Json* legacy = rope.find("type");
  const Json* name = rope.find("rope_type");
  if (name == nullptr) name = legacy;
  if (name == nullptr) return RopeType::kDefault;
  if (!name->is_string()) rope.reject("rope_type", "a string", *name);
  const auto type = rope_type_from_name(name->get_ref<const std::string&>());
  M2_REQUIRE(ErrorCode::kUnsupported, type.has_value(), rope.where(), "rope_type ", name->dump(),
             " is not supported");
  return *type;
}

bool keeps_original_length(RopeType type) {
  return type == RopeType::kYarn || type == RopeType::kLongrope || type == RopeType::kLlama3;
}

// The keys of a type beyond rope_type, rope_theta and partial_rotary_factor.
struct RopeKeys {
  std::vector<const char*> required;
  std::vector<const char*> optional;
};

RopeKeys rope_keys(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return {};
    case RopeType::kLinear:
    case RopeType::kDynamic:
      return {{"factor"}, {}};
    case RopeType::kYarn:
      return {{"factor"},
              {"original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow",
               "mscale", "mscale_all_dim", "truncate"}};
    case RopeType::kLongrope:
      return {{"short_factor", "long_factor"},
              {"original_max_position_embeddings", "attention_factor", "factor"}};
    case RopeType::kLlama3:
      return {{"factor", "low_freq_factor", "high_freq_factor"},
              {"original_max_position_embeddings"}};
  }
  fail(ErrorCode::kInternal, "rope_keys: unknown type");
}

void check_rope_keys(const JsonFields& rope, RopeType type, const ConfigOptions& options) {
  const RopeKeys keys = rope_keys(type);
  for (const char* key : keys.required) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, rope.object().contains(key), rope.where(),
               "rope_type \"", rope_type_name(type), "\" needs the key ", key);
  }
  for (const auto& [key, value] : rope.object().items()) {
    const auto is_key = [&name = key](const char* other) { return name == other; };
    if (key == "type" || key == "rope_type" || key == "rope_theta" ||
        key == "partial_rotary_factor" ||
        std::any_of(keys.required.begin(), keys.required.end(), is_key) ||
        std::any_of(keys.optional.begin(), keys.optional.end(), is_key)) {
      continue;
    }
    M2_REQUIRE(ErrorCode::kUnsupported, !value.is_object(), rope.where(), key,
               ": rope settings for each layer type are not supported");
    warn(options, rope.where() + "rope_type \"" + std::string(rope_type_name(type)) +
                      "\" does not use the key " + key);
  }
}

// What the reference warns about: numbers that work but are probably meant otherwise.
void warn_about_rope(const JsonFields& rope, const RopeParameters& parameters,
                     std::int64_t max_positions, const ConfigOptions& options) {
  const auto is_integer = [&](const char* key) {
    const auto value = rope.object().find(key);
    return value != rope.object().end() && value->is_number_integer();
  };
  const bool scaled = parameters.type != RopeType::kDefault;
  if (scaled && (is_integer("factor") || parameters.factor.value_or(1.0) < 1.0)) {
    warn(options, rope.where() + "factor should be a fraction of at least 1.0");
  }
  for (const char* key : {"attention_factor", "beta_fast", "beta_slow"}) {
    if (scaled && is_integer(key)) warn(options, rope.where() + key + " should be a fraction");
  }
  const auto original = parameters.original_max_position_embeddings.value_or(max_positions);
  if (parameters.type == RopeType::kYarn) {
    const double ratio = static_cast<double>(max_positions) / static_cast<double>(original);
    if (ratio != 1.0 && parameters.factor.has_value() && ratio != *parameters.factor) {
      warn(options, rope.where() + "factor is not max_position_embeddings / " +
                        "original_max_position_embeddings");
    }
    const auto or_default = [](const std::optional<double>& value, double otherwise) {
      return value.value_or(0.0) == 0.0 ? otherwise : *value;
    };
    if (or_default(parameters.beta_fast, 32) < or_default(parameters.beta_slow, 1)) {
      warn(options, rope.where() + "beta_fast should not be below beta_slow");
    }
  }
  if (parameters.type == RopeType::kLlama3) {
    if (parameters.high_freq_factor <= parameters.low_freq_factor) {
      warn(options, rope.where() + "high_freq_factor should be above low_freq_factor");
    }
    if (original >= max_positions) {
      warn(options, rope.where() + "original_max_position_embeddings should be below " +
                        "max_position_embeddings");
    }
  }
}

// The partial factor that gives exactly `rotary_dim` when multiplied and truncated.
double partial_factor_of(std::int64_t rotary_dim, std::int64_t head_dim) {
  const auto dim = static_cast<double>(head_dim);
  const double factor = static_cast<double>(rotary_dim) / dim;
  if (static_cast<std::int64_t>(factor * dim) >= rotary_dim) return factor;
  return std::nextafter(factor, std::numeric_limits<double>::infinity());
}

void apply_rotary_dim(JsonFields& fields, MiniMaxM2Config& config, const ConfigOptions& options) {
  std::optional<std::int64_t> rotary_dim;
  if (const Json* value = fields.find_value("rotary_dim")) {
    if (options.strict) return;
    if (!value->is_number_integer()) fields.reject("rotary_dim", "an integer", *value);
    rotary_dim = value->get<std::int64_t>();
  }
  if (!rotary_dim.has_value()) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, *rotary_dim > 0 && *rotary_dim <= config.head_dim,
             fields.where(), "rotary_dim: expected a number from 1 to head_dim ", config.head_dim,
             ", got ", *rotary_dim);
  if (!config.rope.partial_rotary_factor.has_value()) {
    config.rope.partial_rotary_factor = partial_factor_of(*rotary_dim, config.head_dim);
  } else if (std::trunc(*config.rope.partial_rotary_factor *
                        static_cast<double>(config.head_dim)) != static_cast<double>(*rotary_dim)) {
    warn(options, fields.where() + "rotary_dim " + std::to_string(*rotary_dim) +
                      " is ignored: partial_rotary_factor is given");
  }
}

// Standardises in the reference's order: the settings of the dictionary, then what only the top
// level has. Types other than the default are standardised again when the model is built, and then
// the top level wins over the dictionary.
void read_rope(JsonFields& fields, MiniMaxM2Config& config, const ConfigOptions& options) {
  const Json dictionary = rope_dictionary(fields);
  JsonFields rope(dictionary, fields.where() + "rope_parameters: ");
  RopeParameters& parameters = config.rope;
  fields.read("rope_theta", parameters.rope_theta);
  rope.read("rope_theta", parameters.rope_theta);
  parameters.type = rope_type(rope);
  rope.read("partial_rotary_factor", parameters.partial_rotary_factor);
  rope.read("factor", parameters.factor);
  rope.read("original_max_position_embeddings", parameters.original_max_position_embeddings);
  rope.read("attention_factor", parameters.attention_factor);
  rope.read("beta_fast", parameters.beta_fast);
  rope.read("beta_slow", parameters.beta_slow);
  rope.read("mscale", parameters.mscale);
  rope.read("mscale_all_dim", parameters.mscale_all_dim);
  rope.read("truncate", parameters.truncate);
  rope.read("low_freq_factor", parameters.low_freq_factor);
  rope.read("high_freq_factor", parameters.high_freq_factor);
  rope.read("short_factor", parameters.short_factor);
  rope.read("long_factor", parameters.long_factor);

  const bool top_level_wins = parameters.type != RopeType::kDefault;
  std::optional<double> partial;
  fields.read("partial_rotary_factor", partial);
  if (partial.has_value() && (top_level_wins || !parameters.partial_rotary_factor.has_value())) {
    parameters.partial_rotary_factor = partial;
  }
  if (keeps_original_length(parameters.type)) {
    std::optional<std::int64_t> original;
    fields.read("original_max_position_embeddings", original);
    if (!original.has_value()) original = parameters.original_max_position_embeddings;
    parameters.original_max_position_embeddings = original.value_or(config.max_position_embeddings);
  }
  check_rope_keys(rope, parameters.type, options);
  warn_about_rope(rope, parameters, config.max_position_embeddings, options);
  apply_rotary_dim(fields, config, options);
}

std::optional<QuantizationConfig> read_quantization(JsonFields& fields) {
  const Json* value = fields.find_value("quantization_config");
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fields.reject("quantization_config", "an object", *value);
  JsonFields quantization(*value, fields.where() + "quantization_config: ");
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

void keep_unknown_keys(const JsonFields& fields, MiniMaxM2Config& config) {
  for (const auto& [key, value] : fields.object().items()) {
    if (fields.known().contains(key) && !stays_extra(key)) continue;
    config.extra.emplace_back(key, value.dump(-1, ' ', false, Json::error_handler_t::replace));
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
  read_rope(fields, config, options);
  config.quantization = read_quantization(fields);
  keep_unknown_keys(fields, config);
  return config;
}

}  // namespace m2
