#include <memory>
#include <utility>

#include "api/model_impl.h"
#include "base/error.h"
#include "m2/modeling.h"
#include "model/place_weights.h"
#include "model/resize_vocabulary.h"

namespace m2 {

std::int64_t MiniMaxM2ForCausalLM::resize_token_embeddings(std::int64_t new_num_tokens,
                                                           std::int64_t pad_to_multiple_of,
                                                           bool mean_resizing, std::uint64_t seed) {
  CausalLm& old = *impl_->causal_lm;
  MiniMaxM2Config config = std::as_const(old).config();
  M2_REQUIRE(ErrorCode::kInvalidArgument, new_num_tokens >= 0 && pad_to_multiple_of >= 0,
             "resize_token_embeddings: sizes cannot be negative, got ", new_num_tokens, " and ",
             pad_to_multiple_of);
  std::int64_t size = new_num_tokens > 0 ? new_num_tokens : config.vocab_size;
  if (pad_to_multiple_of > 0) {
    size = (size + pad_to_multiple_of - 1) / pad_to_multiple_of * pad_to_multiple_of;
  }
  if (size == config.vocab_size) return size;
  auto weights = std::make_shared<const ModelWeights>(resize_vocabulary(
      config, *impl_->host_weights, size, {.mean_resizing = mean_resizing, .seed = seed}));
  config.vocab_size = size;
  config.validate();
  const Placement placement = old.decoder().placement();
  auto resized = std::make_unique<CausalLm>(
      config, std::make_shared<const ModelWeights>(place_weights(*weights, placement)), placement,
      old.eager() ? "eager" : "sdpa");
  resized->train(old.training());
  impl_->causal_lm = std::move(resized);
  impl_->host_weights = std::move(weights);
  return size;
}

}  // namespace m2
