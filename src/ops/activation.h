// The activation functions that hidden_act may name.
#pragma once

#include <optional>
#include <string_view>

namespace m2 {

enum class Activation {
  kSilu, kGelu, kGeluTanh, kGeluFast, kGelu10, kQuickGelu, kRelu, kRelu2, kRelu6, kLeakyRelu,
  kSigmoid, kTanh, kLinear, kMish, kLaplace,
};

/// By the names of the reference's table ("silu", "swish", "gelu_new", ...).
std::optional<Activation> activation_from_name(std::string_view name);

float activate(Activation activation, float value);

}  // namespace m2
