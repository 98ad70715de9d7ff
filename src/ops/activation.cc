#include "ops/activation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace m2 {
namespace {

using NamedActivation = std::pair<std::string_view, Activation>;

constexpr std::array<NamedActivation, 20> kActivations = {{
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluFast},
    {"gelu_10", Activation::kGelu10},
    {"quick_gelu", Activation::kQuickGelu},
    {"relu", Activation::kRelu},
    {"relu2", Activation::kRelu2},
    {"relu6", Activation::kRelu6},
    {"leaky_relu", Activation::kLeakyRelu},
    {"sigmoid", Activation::kSigmoid},
    {"tanh", Activation::kTanh},
    {"linear", Activation::kLinear},
    {"mish", Activation::kMish},
    {"laplace", Activation::kLaplace},
}};

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// The normal distribution function by erfc, which keeps its relative precision far below zero.
float gelu(float x) { return 0.5F * x * std::erfc(x * -0.70710678118654752F); }

// 0.5 (1 + tanh(y)) = sigmoid(2 y), which loses no digits for large negative y.
float gelu_tanh(float x) {
  constexpr float kSqrt2OverPi = 0.79788456080286536F;
  return x * sigmoid(2.0F * kSqrt2OverPi * (x + 0.044715F * x * x * x));
}

float gelu_fast(float x) {
  return x * sigmoid(2.0F * 0.7978845608F * x * (1.0F + 0.044715F * x * x));
}

// log(1 + e^x) without overflow.
float softplus(float x) { return std::max(x, 0.0F) + std::log1p(std::exp(-std::fabs(x))); }

float relu(float x) { return x > 0.0F || std::isnan(x) ? x : 0.0F; }

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) {
  for (const auto& [known, activation] : kActivations) {
    if (known == name) return activation;
  }
  return std::nullopt;
}

float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kGeluFast:
      return gelu_fast(x);
    case Activation::kGelu10:
      return std::clamp(gelu(x), -10.0F, 10.0F);
    case Activation::kQuickGelu:
      return x * sigmoid(1.702F * x);
    case Activation::kRelu:
      return relu(x);
    case Activation::kRelu2:
      return relu(x) * relu(x);
    case Activation::kRelu6:
      return std::min(relu(x), 6.0F);
    case Activation::kLeakyRelu:
      return x < 0.0F ? 0.01F * x : x;
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kLinear:
      return x;
    case Activation::kMish:
      return x * std::tanh(softplus(x));
    case Activation::kLaplace:
      return 0.5F * (1.0F + std::erf((x - 0.707107F) / (0.282095F * 1.41421356237309505F)));
  }
  return x;
}

}  // namespace m2
