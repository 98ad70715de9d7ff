// forward() of both models.
#pragma once

#include "bindings.h"
#include "keywords.h"

#include "m2/modeling.h"

#include <vector>

namespace m2::python {

/// Takes the arguments of forward(). The keywords must outlive the inputs.
ForwardInputs read_forward_inputs(Keywords& keywords);

/// Outputs by name; what was not asked for is absent. The GIL must be held.
nb::dict to_dict(MoeModelOutputWithPast output);
nb::dict to_dict(MoeCausalLMOutputWithPast output);

/// A list of NumPy arrays.
nb::list to_list(std::vector<Tensor>& tensors);

}  // namespace m2::python
