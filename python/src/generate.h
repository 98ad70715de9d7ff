// generate() with Python callbacks.
#pragma once

#include "bindings.h"

#include "m2/modeling.h"

namespace m2::python {

/// `kwargs` are the inputs and options of generate() that are no configuration; arrays come back by
/// the names of GenerateOutput.
nb::dict generate(MiniMaxM2ForCausalLM& model, const GenerationConfig& call,
                  const nb::kwargs& kwargs);

}  // namespace m2::python
