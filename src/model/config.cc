#include "m2/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/mapped_file.h"
#include "gguf/gguf.h"
#include "model/config_json.h"
#include "model/gguf_config.h"
#include "ops/activation.h"

namespace m2 {
namespace {

constexpr std::string_view kRopeTypeNames[] = {"default", "linear",   "dynamic",
                                               "yarn",    "longrope", "llama3"};

// The limits keep every product of sizes, such as the bytes of all experts, inside int64.
void require_size(const char* key, std::int64_t value, std::int64_t limit) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, value > 0 && value <= limit, "config: ", key,
             ": expected a number from 1 to ", limit, ", got ", value);
}

void require_finite(const char* key, double value, double least) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::isfinite(value) && value >= least, "config: ", key,
             ": expected a finite number of at least ", least, ", got ", value);
}

void require_rope(const char* key, bool valid, const RopeParameters& rope) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, valid, "config: rope_parameters: ", key,
             " is missing or has a value that rope_type ", rope_type_name(rope.type),
             " cannot use");
}

bool positive(const std::optional<double>& value) {
  return value.has_value() && std::isfinite(*value) && *value > 0;
}

void validate_factors(const char* key, const std::vector<double>& factors, std::int64_t rotary_dim,
                      const RopeParameters& rope) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::ssize(factors) == rotary_dim / 2,
             "config: rope_parameters: ", key, ": expected ", rotary_dim / 2, " numbers, got ",
             factors.size());
  require_rope(
      key,
      std::all_of(factors.begin(), factors.end(), [](double factor) { return positive(factor); }),
      rope);
}

void validate_rope(const MiniMaxM2Config& config) {
  const RopeParameters& rope = config.rope;
  const std::int64_t original =
      rope.original_max_position_embeddings.value_or(config.max_position_embeddings);
  require_rope("rope_theta", positive(rope.rope_theta), rope);
  require_rope("original_max_position_embeddings", original > 0, rope);
  require_rope("factor", !rope.factor.has_value() || positive(rope.factor), rope);
  switch (rope.type) {
    case RopeType::kDefault:
      break;
    case RopeType::kLinear:
      require_rope("factor", positive(rope.factor), rope);
      break;
    case RopeType::kDynamic:
      require_rope("factor", positive(rope.factor), rope);
      // The exponent of the rescaled theta is R / (R - 2).
      require_rope("partial_rotary_factor", config.rotary_dim() > 2, rope);
      break;
    case RopeType::kYarn:
      require_rope("rope_theta", rope.rope_theta != 1.0, rope);
      break;
    case RopeType::kLongrope:
      require_rope("original_max_position_embeddings", original > 1, rope);
      validate_factors("short_factor", rope.short_factor, config.rotary_dim(), rope);
      validate_factors("long_factor", rope.long_factor, config.rotary_dim(), rope);
      break;
    case RopeType::kLlama3:
      require_rope("factor", positive(rope.factor), rope);
      require_rope("low_freq_factor", positive(rope.low_freq_factor), rope);
      require_rope("high_freq_factor", positive(rope.high_freq_factor), rope);
      require_rope("high_freq_factor", rope.high_freq_factor != rope.low_freq_factor, rope);
  }
}

void validate_rotary_dim(const MiniMaxM2Config& config) {
  const double factor = config.rope.partial_rotary_factor.value_or(1.0);
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::isfinite(factor) && factor > 0 && factor <= 1,
             "config: partial_rotary_factor (or rotary_dim / head_dim): expected a number above 0 "
             "and at most 1, got ",
             factor);
  const std::int64_t rotary_dim = config.rotary_dim();
  M2_REQUIRE(ErrorCode::kInvalidArgument, rotary_dim >= 2 && rotary_dim % 2 == 0,
             "config: partial_rotary_factor ", factor, " of head_dim ", config.head_dim,
             " rotates ", rotary_dim, " dimensions; expected an even number of them");
}

void validate_quantization(const QuantizationConfig& quantization) {
  const std::string& method = quantization.quant_method;
  M2_REQUIRE(ErrorCode::kUnsupported, method == "fp8" || method == kBlockQuantMethod,
             "config: quantization_config: quant_method \"", method,
             "\" is not supported, only \"fp8\" and \"", kBlockQuantMethod, "\"");
  const auto& scheme = quantization.activation_scheme;
  M2_REQUIRE(ErrorCode::kInvalidArgument, scheme == "dynamic" || scheme == "static",
             "config: quantization_config: activation_scheme: expected \"dynamic\" or \"static\", "
             "got \"",
             scheme, "\"");
  if (!quantization.weight_block_size.has_value()) return;
  for (const auto size : *quantization.weight_block_size) {
    require_size("quantization_config: weight_block_size", size, 1 << 20);
  }
}

}  // namespace

std::string_view rope_type_name(RopeType type) {
  return kRopeTypeNames[static_cast<std::size_t>(type)];
}

std::optional<RopeType> rope_type_from_name(std::string_view name) {
  const auto* found = std::find(std::begin(kRopeTypeNames), std::end(kRopeTypeNames), name);
  if (found == std::end(kRopeTypeNames)) return std::nullopt;
  return static_cast<RopeType>(found - std::begin(kRopeTypeNames));
}

std::int64_t MiniMaxM2Config::rotary_dim() const {
  return static_cast<std::int64_t>(static_cast<double>(head_dim) *
                                   rope.partial_rotary_factor.value_or(1.0));
}

void MiniMaxM2Config::validate() const {
  require_size("vocab_size", vocab_size, 1 << 28);
  require_size("hidden_size", hidden_size, 1 << 16);
  require_size("intermediate_size", intermediate_size, 1 << 16);
  require_size("num_hidden_layers", num_hidden_layers, 1 << 12);
  require_size("num_attention_heads", num_attention_heads, 1 << 12);
  require_size("num_key_value_heads", num_key_value_heads, 1 << 12);
  require_size("head_dim", head_dim, 1 << 12);
  require_size("num_local_experts", num_local_experts, 1 << 14);
  require_size("num_experts_per_tok", num_experts_per_tok, 1 << 14);
  require_size("max_position_embeddings", max_position_embeddings, std::int64_t{1} << 40);
  M2_REQUIRE(ErrorCode::kInvalidArgument, num_attention_heads % num_key_value_heads == 0,
             "config: num_attention_heads ", num_attention_heads,
             " is not a multiple of num_key_value_heads ", num_key_value_heads);
  M2_REQUIRE(ErrorCode::kInvalidArgument, num_experts_per_tok <= num_local_experts,
             "config: num_experts_per_tok ", num_experts_per_tok, " exceeds num_local_experts ",
             num_local_experts);
  M2_REQUIRE(ErrorCode::kUnsupported, activation_from_name(hidden_act).has_value(),
             "config: hidden_act \"", hidden_act, "\" is not supported");
  require_finite("rms_norm_eps", rms_norm_eps, 0);
  require_finite("initializer_range", initializer_range, 0);
  require_finite("attention_dropout", attention_dropout, 0);
  require_finite("router_jitter_noise", router_jitter_noise, 0);
  require_finite("router_aux_loss_coef", router_aux_loss_coef, -1e30);
  validate_rotary_dim(*this);
  validate_rope(*this);
  if (quantization.has_value()) validate_quantization(*quantization);
}

MiniMaxM2Config MiniMaxM2Config::from_json(std::string_view text, const ConfigOptions& options) {
  MiniMaxM2Config config = read_config(text, "config", options);
  config.validate();
  return config;
}

MiniMaxM2Config MiniMaxM2Config::from_pretrained(const std::filesystem::path& path,
                                                 const ConfigOptions& options) {
  const auto own = path / "config.json";
  const auto gguf = std::filesystem::exists(own) ? std::nullopt : find_gguf(path);
  MiniMaxM2Config config;
  if (gguf.has_value()) {
    config = read_config(gguf_config_json(GgufModel(*gguf)), gguf->string(), options);
  } else {
    const MappedFile file(own);
    const auto bytes = file.bytes();
    config = read_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, own.string(),
                         options);
  }
  config.validate();
  return config;
}

}  // namespace m2
