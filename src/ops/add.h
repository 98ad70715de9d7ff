// Elementwise sum in place.
#pragma once

#include "m2/tensor.h"

namespace m2 {

struct AddArgs {
  TensorView input;   // f32, any shape
  TensorView output;  // f32, the same shape: output += input
};

void check(const AddArgs& args);

namespace reference {
void add(const AddArgs& args);
}  // namespace reference
}  // namespace m2
