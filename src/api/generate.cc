// generate() of MiniMaxM2ForCausalLM.
#include "generation/generate/generate.h"

#include <optional>

#include "api/model_impl.h"
#include "m2/auto.h"
#include "m2/generation.h"
#include "m2/modeling.h"

namespace m2 {

GenerateInputs::GenerateInputs(const BatchEncoding& encoding)
    : input_ids(encoding.input_ids.view()), attention_mask(encoding.attention_mask.view()) {}

GenerateOutput MiniMaxM2ForCausalLM::generate(const GenerateInputs& inputs,
                                              const GenerationConfig& call,
                                              const GenerateOptions& options) {
  const auto seen_by_generate = [](Impl& impl) {
    return generation::generating_model(*impl.causal_lm, impl.generation_config);
  };
  const generation::GeneratingModel model = seen_by_generate(*impl_);
  std::optional<generation::GeneratingModel> assistant;
  if (options.assistant_model != nullptr) {
    assistant = seen_by_generate(options.assistant_model->impl());
  }
  return generation::generate(model, assistant ? &*assistant : nullptr, inputs, call, options);
}

}  // namespace m2
