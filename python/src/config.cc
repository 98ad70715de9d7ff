// MiniMaxM2Config: JSON text in, a dictionary of the standardised attributes out.
#include "bindings.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "m2/config.h"

#include <string>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

template <typename T>
void set_if(nb::dict& dict, const char* key, const std::optional<T>& value) {
  if (value.has_value()) dict[key] = nb::cast(*value);
}

nb::dict rope_dict(const RopeParameters& rope) {
  nb::dict dict;
  dict["rope_theta"] = rope.rope_theta;
  dict["rope_type"] = std::string(rope_type_name(rope.type));
  set_if(dict, "partial_rotary_factor", rope.partial_rotary_factor);
  set_if(dict, "factor", rope.factor);
  set_if(dict, "original_max_position_embeddings", rope.original_max_position_embeddings);
  set_if(dict, "attention_factor", rope.attention_factor);
  set_if(dict, "beta_fast", rope.beta_fast);
  set_if(dict, "beta_slow", rope.beta_slow);
  set_if(dict, "mscale", rope.mscale);
  set_if(dict, "mscale_all_dim", rope.mscale_all_dim);
  set_if(dict, "truncate", rope.truncate);
  set_if(dict, "low_freq_factor", rope.low_freq_factor);
  set_if(dict, "high_freq_factor", rope.high_freq_factor);
  if (!rope.short_factor.empty()) dict["short_factor"] = nb::cast(rope.short_factor);
  if (!rope.long_factor.empty()) dict["long_factor"] = nb::cast(rope.long_factor);
  return dict;
}

nb::dict quantization_dict(const QuantizationConfig& quantization) {
  nb::dict dict;
  dict["activation_scheme"] = quantization.activation_scheme;
  dict["dequantize"] = quantization.dequantize;
  dict["modules_to_not_convert"] = nb::cast(quantization.modules_to_not_convert);
  dict["quant_method"] = quantization.quant_method;
  dict["weight_block_size"] = nb::none();
  if (quantization.weight_block_size.has_value()) {
    const auto [rows, columns] = *quantization.weight_block_size;
    dict["weight_block_size"] = nb::cast(std::vector<std::int64_t>{rows, columns});
  }
  return dict;
}

nb::object eos_value(const std::vector<std::int64_t>& ids) {
  if (ids.empty()) return nb::none();
  return ids.size() == 1 ? nb::cast(ids[0]) : nb::cast(ids);
}

// In the order of the reference's to_dict().
nb::dict config_dict(const MiniMaxM2Config& config) {
  nb::dict dict;
  dict["vocab_size"] = config.vocab_size;
  dict["max_position_embeddings"] = config.max_position_embeddings;
  dict["hidden_size"] = config.hidden_size;
  dict["intermediate_size"] = config.intermediate_size;
  dict["num_hidden_layers"] = config.num_hidden_layers;
  dict["num_attention_heads"] = config.num_attention_heads;
  dict["num_key_value_heads"] = config.num_key_value_heads;
  dict["hidden_act"] = config.hidden_act;
  dict["initializer_range"] = config.initializer_range;
  dict["rms_norm_eps"] = config.rms_norm_eps;
  dict["use_cache"] = config.use_cache;
  dict["attention_dropout"] = config.attention_dropout;
  dict["head_dim"] = config.head_dim;
  dict["rope_parameters"] = rope_dict(config.rope);
  dict["num_experts_per_tok"] = config.num_experts_per_tok;
  dict["num_local_experts"] = config.num_local_experts;
  dict["output_router_logits"] = config.output_router_logits;
  dict["router_aux_loss_coef"] = config.router_aux_loss_coef;
  dict["router_jitter_noise"] = config.router_jitter_noise;
  dict["pad_token_id"] = nb::cast(config.pad_token_id);
  dict["bos_token_id"] = nb::cast(config.bos_token_id);
  dict["eos_token_id"] = eos_value(config.eos_token_ids);
  dict["tie_word_embeddings"] = config.tie_word_embeddings;
  dict["dtype"] = nb::cast(config.dtype);
  dict["architectures"] =
      config.architectures.empty() ? nb::none() : nb::cast(config.architectures);
  if (config.quantization.has_value()) {
    dict["quantization_config"] = quantization_dict(*config.quantization);
  }
  const nb::object loads = nb::module_::import_("json").attr("loads");
  for (const auto& [key, text] : config.extra) dict[key.c_str()] = loads(text);
  return dict;
}

// (attributes, warnings)
template <typename Read>
nb::tuple read_config(bool strict, const Read& read) {
  std::vector<std::string> warnings;
  const MiniMaxM2Config config = read(ConfigOptions{.strict = strict, .warnings = &warnings});
  return nb::make_tuple(config_dict(config), warnings);
}

}  // namespace

void bind_config(nb::module_& module) {
  module.def(
      "config_from_json",
      [](const std::string& text, bool strict) {
        return read_config(strict, [&](const ConfigOptions& options) {
          return MiniMaxM2Config::from_json(text, options);
        });
      },
      nb::arg("text"), nb::arg("strict") = false,
      "Validates and standardises the text of a config.json; returns its attributes and warnings.");
  module.def(
      "config_from_pretrained",
      [](const std::string& directory, bool strict) {
        return read_config(strict, [&](const ConfigOptions& options) {
          return MiniMaxM2Config::from_pretrained(directory, options);
        });
      },
      nb::arg("directory"), nb::arg("strict") = false, "The same for directory/config.json.");
  module.def(
      "rotary_dim",
      [](const std::string& text, bool strict) {
        return MiniMaxM2Config::from_json(text, {.strict = strict}).rotary_dim();
      },
      nb::arg("text"), nb::arg("strict") = false, "The leading dimensions of a head that rotate.");
}

}  // namespace m2::python
