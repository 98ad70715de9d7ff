// generate() of the library: padded rows of token ids in, padded rows out.
#pragma once

#include "generation/generate/model_run.h"
#include "m2/generation.h"
#include "model/causal_lm.h"

namespace m2::generation {

/// A causal LM and its generation config, which both must outlive the result.
GeneratingModel generating_model(CausalLm& causal_lm, GenerationConfig& generation_config);

/// MiniMaxM2ForCausalLM::generate over any model. `options.assistant_model` is not looked at: the
/// assistant is `assistant`, null without one.
/// Throws kInvalidArgument and kUnsupported as docs/generation.md lists, kCancelled.
GenerateOutput generate(const GeneratingModel& model, const GeneratingModel* assistant,
                        const GenerateInputs& inputs, const GenerationConfig& call,
                        const GenerateOptions& options);

}  // namespace m2::generation
