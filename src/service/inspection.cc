#include "service/inspection.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "gguf/gguf.h"
#include "m2/config.h"
#include "model/inspect.h"
#include "model/weights.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

Json config_json(const MiniMaxM2Config& config) {
  return {{"vocab_size", config.vocab_size},
          {"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim},
          {"rotary_dim", config.rotary_dim()},
          {"rope_type", rope_type_name(config.rope.type)},
          {"rope_theta", config.rope.rope_theta},
          {"num_local_experts", config.num_local_experts},
          {"num_experts_per_tok", config.num_experts_per_tok},
          {"intermediate_size", config.intermediate_size},
          {"max_position_embeddings", config.max_position_embeddings},
          {"tie_word_embeddings", config.tie_word_embeddings},
          {"quantization", config.quantization ? config.quantization->quant_method : "none"}};
}

Json sizes_json(const ComponentSizes& sizes) {
  return {{"embedding", sizes.embedding}, {"lm_head", sizes.lm_head},
          {"attention", sizes.attention}, {"experts", sizes.experts},
          {"router", sizes.router},       {"norms", sizes.norms},
          {"total", sizes.total()}};
}

Json shape_json(const Shape& shape) {
  Json dims = Json::array();
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

Json stored_json(const MiniMaxM2Config& config,
                 const std::shared_ptr<const Checkpoint>& checkpoint) {
  LoadReport report;
  const ModelWeights weights = load_weights(config, checkpoint, &report);
  Json by_dtype;
  for (const auto& [name, bytes] : bytes_by_storage(*checkpoint)) by_dtype[name] = bytes;
  Json tensors = Json::array();
  for (const CheckpointTensor& tensor : checkpoint->tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"dtype", storage_name(tensor)},
                       {"shape", shape_json(tensor.shape)},
                       {"bytes", tensor.view.num_bytes()},
                       {"file", checkpoint->file_path(tensor.file).filename().string()}});
  }
  return {{"stored", true},
          {"files", checkpoint->num_files()},
          {"bytes", sizes_json(stored_bytes(weights))},
          {"bytes_by_dtype", std::move(by_dtype)},
          {"unexpected", report.unexpected},
          {"tensors", std::move(tensors)}};
}

std::vector<std::int64_t> usual_contexts(std::int64_t longest) {
  std::vector<std::int64_t> contexts = {1024, 8192, 32768, 131072};
  std::erase_if(contexts, [&](std::int64_t context) { return context >= longest; });
  contexts.push_back(longest);
  return contexts;
}

bool has_weights(const std::filesystem::path& directory) {
  return std::filesystem::exists(directory / "model.safetensors") ||
         std::filesystem::exists(directory / "model.safetensors.index.json") ||
         find_gguf(directory).has_value();
}

}  // namespace

Json inspect_model(const std::filesystem::path& directory, std::span<const std::int64_t> contexts) {
  const auto config = MiniMaxM2Config::from_pretrained(directory);
  const ComponentSizes parameters = count_parameters(config);
  Json result = {{"config", config_json(config)},
                 {"parameters", sizes_json(parameters)},
                 {"active_parameters", active_parameters(config)}};
  result["parameters"]["total"] = parameters.parameters();
  result["kv_bytes_per_token"] = {{"F32", kv_bytes_per_token(config, KvFormat::kF32)},
                                  {"BF16", kv_bytes_per_token(config, KvFormat::kBF16)},
                                  {"F8_E4M3", kv_bytes_per_token(config, KvFormat::kF8E4M3)},
                                  {"INT8", kv_bytes_per_token(config, KvFormat::kInt8)}};
  if (has_weights(directory)) {
    result["weights"] = stored_json(config, Checkpoint::open(directory));
  } else {
    result["weights"] = {{"stored", false},
                         {"bytes", sizes_json(estimate_bytes(config, DType::kF8E4M3))},
                         {"bytes_bf16", estimate_bytes(config, DType::kBF16).total()}};
  }
  const auto weight_bytes = result["weights"]["bytes"]["total"].get<std::int64_t>();
  result["memory"] = Json::array();
  const std::vector<std::int64_t> usual = usual_contexts(config.max_position_embeddings);
  if (contexts.empty()) contexts = usual;
  for (const std::int64_t context : contexts) {
    result["memory"].push_back(
        {{"context", context},
         {"kv_f32", context * kv_bytes_per_token(config, KvFormat::kF32)},
         {"total_f32", memory_bytes(config, weight_bytes, KvFormat::kF32, context)}});
  }
  return result;
}

}  // namespace m2
