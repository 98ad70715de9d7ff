#include "model/gguf_config.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "model/config_json.h"

namespace m2 {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kArchitecture = "minimax-m2";
constexpr std::int64_t kSigmoid = 2;  // of expert_gating_func

std::string model_key(std::string_view name) {
  return std::string(kArchitecture).append(".").append(name);
}

std::string token_key(std::string_view name) {
  return std::string("tokenizer.ggml.").append(name).append("_token_id");
}

// Reads the keys of the model.
class Reader {
 public:
  explicit Reader(const GgufModel& model) : model_(model), metadata_(model.metadata()) {}

  OrderedJson config() const {
    const std::int64_t hidden = needed("embedding_length");
    const std::int64_t heads = needed("attention.head_count");
    check_fixed();
    const std::int64_t head_dim = head_size(hidden, heads);
    OrderedJson config = {{"architectures", {"MiniMaxM2ForCausalLM"}},
                          {"model_type", "minimax_m2"},
                          {"vocab_size", vocab_size()},
                          {"hidden_size", hidden},
                          {"intermediate_size", expert_width()},
                          {"num_hidden_layers", needed("block_count")},
                          {"num_attention_heads", heads},
                          {"num_key_value_heads", optional("attention.head_count_kv", heads)},
                          {"head_dim", head_dim},
                          {"max_position_embeddings", needed("context_length")},
                          {"rms_norm_eps", number("attention.layer_norm_rms_epsilon")},
                          {"num_local_experts", needed("expert_count")},
                          {"num_experts_per_tok", needed("expert_used_count")},
                          {"tie_word_embeddings", model_.find_tensor("output.weight") == nullptr},
                          {"rope_parameters", rope(head_dim)},
                          {"bos_token_id", token("bos")},
                          {"eos_token_id", token("eos")},
                          {"pad_token_id", token("padding")}};
    return config;
  }

 private:
  [[noreturn]] void fail_missing(const std::string& key) const {
    fail(ErrorCode::kCorruptFile, metadata_.file(), ": the metadata has no ", key);
  }

  std::int64_t needed(std::string_view name) const {
    const std::string key = model_key(name);
    const auto value = metadata_.integer(key);
    if (!value.has_value()) fail_missing(key);
    return *value;
  }
  std::int64_t optional(std::string_view name, std::int64_t otherwise) const {
    return metadata_.integer(model_key(name)).value_or(otherwise);
  }
  double number(std::string_view name) const {
    const std::string key = model_key(name);
    const auto value = metadata_.number(key);
    if (!value.has_value()) fail_missing(key);
    return *value;
  }
  double number(std::string_view name, double otherwise) const {
    return metadata_.number(model_key(name)).value_or(otherwise);
  }

  OrderedJson token(std::string_view name) const {
    const auto id = metadata_.integer(token_key(name));
    return id.has_value() ? OrderedJson(*id) : OrderedJson(nullptr);
  }

  std::int64_t vocab_size() const {
    const GgufTensor* embedding = model_.find_tensor("token_embd.weight");
    if (embedding != nullptr && embedding->shape.rank() == 2) return embedding->shape[0];
    return needed("vocab_size");
  }

  // Older files have feed_forward_length alone.
  std::int64_t expert_width() const {
    const auto width = metadata_.integer(model_key("expert_feed_forward_length"));
    return width.has_value() ? *width : needed("feed_forward_length");
  }

  std::int64_t head_size(std::int64_t hidden, std::int64_t heads) const {
    M2_REQUIRE(ErrorCode::kCorruptFile, heads > 0, metadata_.file(), ": ",
               model_key("attention.head_count"), ": expected a positive number, got ", heads);
    const std::int64_t key_length = optional("attention.key_length", hidden / heads);
    const std::int64_t value_length = optional("attention.value_length", key_length);
    M2_REQUIRE(ErrorCode::kUnsupported, key_length == value_length, metadata_.file(), ": keys of ",
               key_length, " and values of ", value_length,
               " numbers: only equal sizes are supported");
    M2_REQUIRE(ErrorCode::kCorruptFile, key_length > 0, metadata_.file(), ": ",
               model_key("attention.key_length"), ": expected a positive number, got ", key_length);
    return key_length;
  }

  void check_fixed() const {
    const auto check = [&](std::string_view name, double only, double otherwise) {
      const double value = number(name, otherwise);
      M2_REQUIRE(ErrorCode::kUnsupported, value == only, metadata_.file(), ": ", model_key(name),
                 ": only ", only, " is supported, got ", value);
    };
    check("expert_gating_func", static_cast<double>(kSigmoid), static_cast<double>(kSigmoid));
    // 0 is what some writers say for "no factor".
    if (number("expert_weights_scale", 1) != 0) check("expert_weights_scale", 1, 1);
    check("expert_shared_count", 0, 0);
    check("leading_dense_block_count", 0, 0);
    check("rope.scaling.yarn_ext_factor", 1, 1);
    check("rope.scaling.yarn_attn_factor", 1, 1);
    check("rope.scaling.attn_factor", 1, 1);
  }

  OrderedJson rope(std::int64_t head_dim) const {
    const std::int64_t rotary = optional("rope.dimension_count", head_dim);
    OrderedJson rope = {{"rope_type", "default"},
                        {"rope_theta", number("rope.freq_base", 10000)},
                        {"partial_rotary_factor", partial_factor_of(rotary, head_dim)}};
    const auto type = metadata_.text(model_key("rope.scaling.type")).value_or("none");
    if (type == "none") return rope;
    M2_REQUIRE(ErrorCode::kUnsupported, type == "linear" || type == "yarn", metadata_.file(), ": ",
               model_key("rope.scaling.type"), ": ", type, " is not supported");
    rope["rope_type"] = type;
    rope["factor"] = number("rope.scaling.factor");
    if (type == "linear") return rope;
    rope["original_max_position_embeddings"] = needed("rope.scaling.original_context_length");
    rope["beta_fast"] = number("rope.scaling.yarn_beta_fast", 32);
    rope["beta_slow"] = number("rope.scaling.yarn_beta_slow", 1);
    return rope;
  }

  const GgufModel& model_;
  const GgufMetadata& metadata_;
};

// What is set only with another rope type than the default one.
void write_rope_scaling(const RopeParameters& rope, GgufWriter& writer) {
  if (rope.type == RopeType::kDefault) return;
  const bool plain_yarn = !rope.attention_factor && !rope.mscale && !rope.mscale_all_dim &&
                          rope.truncate.value_or(true);
  M2_REQUIRE(ErrorCode::kUnsupported,
             rope.type == RopeType::kLinear || (rope.type == RopeType::kYarn && plain_yarn),
             "gguf: rope settings of type ", rope_type_name(rope.type),
             " with these keys cannot be written");
  writer.set_text(model_key("rope.scaling.type"), rope_type_name(rope.type));
  writer.set_float32(model_key("rope.scaling.factor"), static_cast<float>(rope.factor.value_or(1)));
  if (rope.type == RopeType::kLinear) return;
  writer.set_uint32(model_key("rope.scaling.original_context_length"),
                    static_cast<std::uint32_t>(rope.original_max_position_embeddings.value_or(0)));
  writer.set_float32(model_key("rope.scaling.yarn_beta_fast"),
                     static_cast<float>(rope.beta_fast.value_or(32)));
  writer.set_float32(model_key("rope.scaling.yarn_beta_slow"),
                     static_cast<float>(rope.beta_slow.value_or(1)));
}

void write_token(std::string_view name, const std::optional<std::int64_t>& id, GgufWriter& writer) {
  if (id.has_value()) writer.set_uint32(token_key(name), static_cast<std::uint32_t>(*id));
}

}  // namespace

std::string gguf_config_json(const GgufModel& model) { return Reader(model).config().dump(); }

void write_gguf_config(const MiniMaxM2Config& config, GgufWriter& writer) {
  config.validate();
  writer.set_text("general.architecture", kArchitecture);
  writer.set_text("general.type", "model");
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"vocab_size", config.vocab_size},
      {"block_count", config.num_hidden_layers},
      {"context_length", config.max_position_embeddings},
      {"embedding_length", config.hidden_size},
      {"feed_forward_length", config.intermediate_size},
      {"expert_feed_forward_length", config.intermediate_size},
      {"expert_count", config.num_local_experts},
      {"expert_used_count", config.num_experts_per_tok},
      {"expert_gating_func", kSigmoid},
      {"attention.head_count", config.num_attention_heads},
      {"attention.head_count_kv", config.num_key_value_heads},
      {"attention.key_length", config.head_dim},
      {"attention.value_length", config.head_dim},
      {"rope.dimension_count", config.rotary_dim()},
  };
  for (const auto& [name, size] : sizes) {
    writer.set_uint32(model_key(name), static_cast<std::uint32_t>(size));
  }
  writer.set_float32(model_key("attention.layer_norm_rms_epsilon"),
                     static_cast<float>(config.rms_norm_eps));
  writer.set_float32(model_key("rope.freq_base"), static_cast<float>(config.rope.rope_theta));
  write_rope_scaling(config.rope, writer);
  write_token("bos", config.bos_token_id, writer);
  if (!config.eos_token_ids.empty()) write_token("eos", config.eos_token_ids.front(), writer);
  write_token("padding", config.pad_token_id, writer);
}

}  // namespace m2
