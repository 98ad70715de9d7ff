// The model configuration: what config.json of a MiniMax-M2 directory says.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace m2 {

/// How the rotary frequencies are scaled.
enum class RopeType { kDefault, kLinear, kDynamic, kYarn, kLongrope, kLlama3 };

/// The name that config.json uses: "default", "yarn", ...
std::string_view rope_type_name(RopeType type);
std::optional<RopeType> rope_type_from_name(std::string_view name);

/// The `rope_parameters` of config.json. Absent fields were absent or null in the file.
struct RopeParameters {
  RopeType type = RopeType::kDefault;
  double rope_theta = 5000000.0;
  /// Share of head_dim that rotates; 1 when absent.
  std::optional<double> partial_rotary_factor;
  std::optional<double> factor;
  std::optional<std::int64_t> original_max_position_embeddings;  ///< yarn, longrope, llama3
  std::optional<double> attention_factor;                        ///< yarn, longrope
  std::optional<double> beta_fast;                               ///< yarn; 32 when absent or 0
  std::optional<double> beta_slow;                               ///< yarn; 1 when absent or 0
  std::optional<double> mscale;                                  ///< yarn
  std::optional<double> mscale_all_dim;                          ///< yarn
  std::optional<bool> truncate;                                  ///< yarn; true when absent
  std::optional<double> low_freq_factor;                         ///< llama3
  std::optional<double> high_freq_factor;                        ///< llama3
  std::vector<double> short_factor;                              ///< longrope, R / 2 numbers
  std::vector<double> long_factor;                               ///< longrope, R / 2 numbers

  friend bool operator==(const RopeParameters&, const RopeParameters&) = default;
};

/// The quant_method of models that `m2 quantize` wrote: the files name the formats of tensors.
inline constexpr std::string_view kBlockQuantMethod = "m2_blocks";

/// The `quantization_config` of config.json: of the methods "fp8" and kBlockQuantMethod. The latter
/// uses the other fields only for FP8 tensors that stayed as they were.
struct QuantizationConfig {
  std::string quant_method = "fp8";
  std::string activation_scheme = "dynamic";  ///< "dynamic" or "static"
  /// Rows and columns that share a scale; absent: one scale for the whole tensor.
  std::optional<std::array<std::int64_t, 2>> weight_block_size = {{128, 128}};
  /// Absent (null in the file) means: only the output head stays unquantised.
  std::optional<std::vector<std::string>> modules_to_not_convert;
  bool dequantize = false;

  friend bool operator==(const QuantizationConfig&, const QuantizationConfig&) = default;
};

struct ConfigOptions {
  /// Behave as transformers 5.1.0: ignore `rotary_dim` (all of head_dim rotates, which is wrong for
  /// the published files) and any value of use_qk_norm, qk_norm_type, use_routing_bias,
  /// scoring_func, shared_intermediate_size and attn_type_list. Otherwise rotary_dim / head_dim is
  /// the partial rotary factor where no other is given, and values that the model does not
  /// implement are refused.
  bool strict = false;
  /// Where what is odd but no error goes, one sentence each; may be null.
  std::vector<std::string>* warnings = nullptr;
};

/// Configuration of a MiniMax-M2 model. The defaults are those of transformers 5.1.0.
struct MiniMaxM2Config {
  std::int64_t vocab_size = 200064;
  std::int64_t hidden_size = 3072;
  std::int64_t intermediate_size = 1536;  ///< inner width of one expert
  std::int64_t num_hidden_layers = 62;
  std::int64_t num_attention_heads = 48;
  std::int64_t num_key_value_heads = 8;
  std::int64_t head_dim = 128;
  std::string hidden_act = "silu";
  std::int64_t max_position_embeddings = 196608;
  double initializer_range = 0.02;
  double rms_norm_eps = 1e-6;
  bool use_cache = true;
  bool return_dict = true;            ///< for callers; the outputs here are structures anyway
  bool output_hidden_states = false;  ///< what forward() and generate() return unless told
  bool output_attentions = false;
  std::optional<std::int64_t> pad_token_id;
  std::optional<std::int64_t> bos_token_id = 200034;
  std::vector<std::int64_t> eos_token_ids = {200020};  ///< `eos_token_id`: none, one or several
  bool tie_word_embeddings = false;
  double attention_dropout = 0.0;
  std::int64_t num_experts_per_tok = 8;
  std::int64_t num_local_experts = 256;  ///< `num_experts` is an alias in the file
  bool output_router_logits = false;
  double router_aux_loss_coef = 0.001;
  double router_jitter_noise = 0.0;
  RopeParameters rope;
  std::optional<QuantizationConfig> quantization;
  std::vector<std::string> architectures;
  std::optional<std::string> dtype;  ///< `dtype`, else the legacy `torch_dtype`: "bfloat16", ...
  /// Every other key of the file in its order, the value as JSON text.
  std::vector<std::pair<std::string, std::string>> extra;
  /// How the file writes keys of this struct where to_json would write the same value differently
  /// (5000000 for 5000000.0, unused rope keys): key and JSON text. to_json keeps that form as long
  /// as the value is the same.
  std::vector<std::pair<std::string, std::string>> spellings;

  /// Reads the text of a config.json and validates it. Throws kCorruptFile when it is no JSON
  /// object, kInvalidArgument or kUnsupported, naming the key, when a value cannot be used.
  static MiniMaxM2Config from_json(std::string_view text, const ConfigOptions& options = {});

  /// Reads config.json of a directory, or the metadata of a GGUF file: `path` names it, or it is
  /// the only one in a directory without config.json. Throws kNotFound when there is neither.
  static MiniMaxM2Config from_pretrained(const std::filesystem::path& path,
                                         const ConfigOptions& options = {});

  /// The text of config.json that transformers 5.1.0 writes for these values: the class's fields
  /// always, generic ones where they differ from their defaults, `extra`; keys sorted. Throws
  /// kInvalidArgument for an extra key that is a generation parameter or no JSON.
  [[nodiscard]] std::string to_json() const;

  /// Writes `directory`/config.json, complete or not at all; makes the directory. Throws
  /// kInvalidArgument when `directory` is a file or cannot be written, and what to_json throws.
  void save_pretrained(const std::filesystem::path& directory) const;

  /// Throws what from_json throws; for a config that was made or changed by code.
  void validate() const;

  /// R, the leading dimensions of a head that rotate: int(head_dim * partial_rotary_factor).
  [[nodiscard]] std::int64_t rotary_dim() const;

  friend bool operator==(const MiniMaxM2Config&, const MiniMaxM2Config&) = default;
};

}  // namespace m2
