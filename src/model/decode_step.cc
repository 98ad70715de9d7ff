// Which forward passes a device may record, and what tells them apart.
#include "model/forward_pass.h"

namespace m2 {

// One new token of each sequence, all on one device, nothing but what decoding needs.
bool MiniMaxM2::is_decode_step(const Pass& pass) const {
  const ForwardOptions& options = pass.options;
  const Study& study = options.study;
  const bool studied = study.hidden_states || study.router_logits || study.attentions;
  return stages_.size() == 1 && pass.batch.max_queries == 1 && pass.batch.inputs_embeds.empty() &&
         pass.batch.key_mask.empty() && !options.mask.present() && !options.training_seed &&
         !studied && !pass.kv_cache.is_offloaded() && weights_->expert_cache == nullptr;
}

// All that the operations of a decode step are called with.
void MiniMaxM2::find_step_key(const Pass& pass) {
  const Stage& stage = *pass.stage;
  step_key_.clear();
  for (const std::int64_t number :
       {id_, stage.max_tokens, num_tokens_, pass.batch.num_seqs(), pass.batch.max_blocks,
        static_cast<std::int64_t>(pass.num_layers),
        static_cast<std::int64_t>(pass.options.fully_masked)}) {
    step_key_.push_back(static_cast<std::uint64_t>(number));
  }
  const auto add = [&](const TensorView& tensor) {
    step_key_.push_back(reinterpret_cast<std::uintptr_t>(tensor.data));
  };
  add(stage.residual.view());
  stage.batch.add_key(step_key_);
  for (std::size_t layer = 0; layer < pass.num_layers; ++layer) {
    const KvCacheView cache = pass.kv_cache.layer(layer);
    add(cache.keys);
    add(cache.values);
    step_key_.push_back(static_cast<std::uint64_t>(cache.format));
    step_key_.push_back(static_cast<std::uint64_t>(cache.block_size()));
  }
}

}  // namespace m2
