#include <utility>

#include "api/model_impl.h"
#include "m2/modeling.h"
#include "model/inspect.h"

namespace m2 {

MiniMaxM2ForCausalLM::MiniMaxM2ForCausalLM(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

const MiniMaxM2Config& MiniMaxM2ForCausalLM::config() const {
  return std::as_const(*impl_->causal_lm).config();
}
MiniMaxM2Config& MiniMaxM2ForCausalLM::config() { return impl_->causal_lm->config(); }

GenerationConfig& MiniMaxM2ForCausalLM::generation_config() { return impl_->generation_config; }
const GenerationConfig& MiniMaxM2ForCausalLM::generation_config() const {
  return impl_->generation_config;
}

MiniMaxM2Model MiniMaxM2ForCausalLM::model() const { return MiniMaxM2Model(impl_); }

MoeCausalLMOutputWithPast MiniMaxM2ForCausalLM::forward(const ForwardInputs& inputs) {
  return impl_->causal_lm->forward(inputs);
}

void MiniMaxM2ForCausalLM::train(bool mode) { impl_->causal_lm->train(mode); }
bool MiniMaxM2ForCausalLM::training() const { return impl_->causal_lm->training(); }
void MiniMaxM2ForCausalLM::manual_seed(std::uint64_t seed) { impl_->causal_lm->manual_seed(seed); }

std::int64_t MiniMaxM2ForCausalLM::num_parameters() const {
  return count_parameters(impl_->causal_lm->decoder().config()).parameters();
}

const std::map<std::string, std::string>& MiniMaxM2ForCausalLM::device_map() const {
  return impl_->device_map;
}

}  // namespace m2
