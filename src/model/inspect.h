// Sizes of a model: parameters, bytes and the memory of a context, from the config alone or from
// loaded weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "m2/config.h"
#include "m2/dtype.h"
#include "model/weights.h"
#include "ops/kv_cache_view.h"

namespace m2 {

/// Something counted for each component: parameters or bytes.
struct ComponentSizes {
  std::int64_t embedding = 0;
  std::int64_t lm_head = 0;    ///< 0 when tied to the embedding
  std::int64_t attention = 0;  ///< the four projections of every layer
  std::int64_t norms = 0;      ///< layer, q, k and final norms
  std::int64_t router = 0;
  std::int64_t experts = 0;
  std::int64_t correction_bias = 0;  ///< a buffer, no parameter
  std::int64_t scales = 0;           ///< block scales, no parameters; bytes only

  /// Everything that is stored.
  [[nodiscard]] std::int64_t total() const {
    return embedding + lm_head + attention + norms + router + experts + correction_bias + scales;
  }
  /// Everything that is trained; for parameter counts.
  [[nodiscard]] std::int64_t parameters() const { return total() - correction_bias - scales; }
};

ComponentSizes count_parameters(const MiniMaxM2Config& config);

/// Parameters that one token passes through: all but the experts that are not chosen. The whole
/// embedding and head count.
std::int64_t active_parameters(const MiniMaxM2Config& config);

/// Bytes of the weights stored in `dtype`. F8_E4M3 means the published layout: projections and
/// experts in blocks with float32 scales, router and bias float32, the rest bfloat16.
ComponentSizes estimate_bytes(const MiniMaxM2Config& config, DType dtype);

/// Bytes of loaded weights as they lie in the file or, for vectors, in memory.
ComponentSizes stored_bytes(const ModelWeights& weights);

/// "BF16" or "int4_g32": the dtype, or the block format where there is one.
std::string_view storage_name(const CheckpointTensor& tensor);

/// Bytes of the tensors of a checkpoint by storage_name, whatever they are.
std::map<std::string, std::int64_t> bytes_by_storage(const Checkpoint& checkpoint);

/// Keys and values of one token in all layers.
std::int64_t kv_bytes_per_token(const MiniMaxM2Config& config, KvFormat format);

/// Weights and KV cache for `num_tokens` tokens of context in all sequences together.
std::int64_t memory_bytes(const MiniMaxM2Config& config, std::int64_t weight_bytes, KvFormat format,
                          std::int64_t num_tokens);

}  // namespace m2
