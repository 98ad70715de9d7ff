#include <utility>

#include "api/model_impl.h"
#include "base/error.h"
#include "m2/modeling.h"
#include "model/inspect.h"

namespace m2 {
namespace {

void check_bare_inputs(const ForwardInputs& inputs) {
  const auto* count = std::get_if<std::int64_t>(&inputs.logits_to_keep);
  M2_REQUIRE(
      ErrorCode::kInvalidArgument,
      !inputs.labels.present() && !inputs.shift_labels.present() && !inputs.num_items_in_batch &&
          count != nullptr && *count == 0,
      "MiniMaxM2Model: labels, shift_labels, num_items_in_batch and logits_to_keep belong to "
      "MiniMaxM2ForCausalLM");
}

}  // namespace

MiniMaxM2Model::MiniMaxM2Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

const MiniMaxM2Config& MiniMaxM2Model::config() const {
  return std::as_const(*impl_->causal_lm).config();
}
MiniMaxM2Config& MiniMaxM2Model::config() { return impl_->causal_lm->config(); }

MoeModelOutputWithPast MiniMaxM2Model::forward(const ForwardInputs& inputs) {
  check_bare_inputs(inputs);
  return impl_->causal_lm->forward_model(inputs);
}

void MiniMaxM2Model::train(bool mode) { impl_->causal_lm->train(mode); }
bool MiniMaxM2Model::training() const { return impl_->causal_lm->training(); }
void MiniMaxM2Model::manual_seed(std::uint64_t seed) { impl_->causal_lm->manual_seed(seed); }

std::int64_t MiniMaxM2Model::num_parameters() const {
  const ComponentSizes counts = count_parameters(impl_->causal_lm->decoder().config());
  return counts.parameters() - counts.lm_head;
}

const std::map<std::string, std::string>& MiniMaxM2Model::device_map() const {
  return impl_->device_map;
}

}  // namespace m2
