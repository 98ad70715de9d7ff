#include "ops/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace m2 {
namespace {

using Formula = std::function<double(double)>;

double gelu_tanh(double x) {
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Case {
  std::vector<std::string> names;
  Formula formula;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {{"silu", "swish"}, [](double x) { return x * sigmoid(x); }},
      {{"gelu", "gelu_python"}, gelu},
      {{"gelu_new", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"}, gelu_tanh},
      {{"gelu_fast"},
       [](double x) {
         return 0.5 * x * (1.0 + std::tanh(0.7978845608 * x * (1.0 + 0.044715 * x * x)));
       }},
      {{"gelu_10"}, [](double x) { return std::min(10.0, std::max(-10.0, gelu(x))); }},
      {{"quick_gelu"}, [](double x) { return x * sigmoid(1.702 * x); }},
      {{"relu"}, [](double x) { return std::max(x, 0.0); }},
      {{"relu2"}, [](double x) { return x > 0 ? x * x : 0.0; }},
      {{"relu6"}, [](double x) { return std::min(std::max(x, 0.0), 6.0); }},
      {{"leaky_relu"}, [](double x) { return x < 0 ? 0.01 * x : x; }},
      {{"sigmoid"}, sigmoid},
      {{"tanh"}, [](double x) { return std::tanh(x); }},
      {{"linear"}, [](double x) { return x; }},
      {{"mish"}, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {{"laplace"},
       [](double x) {
         return 0.5 * (1.0 + std::erf((x - 0.707107) / (0.282095 * std::sqrt(2.0))));
       }},
  };
  return kCases;
}

TEST(Activation, EveryNameFollowsItsFormula) {
  for (const auto& c : cases()) {
    for (const auto& name : c.names) {
      const auto activation = activation_from_name(name);
      ASSERT_TRUE(activation.has_value()) << name;
      for (double x = -30.0; x <= 30.0; x += 0.0625) {
        const double expected = c.formula(x);
        // Some ten float32 roundings of values of the size of x, near cancellation too.
        const double tolerance = 10 * 0x1p-24 * (1.0 + std::fabs(x) + std::fabs(expected));
        EXPECT_NEAR(activate(*activation, static_cast<float>(x)), expected, tolerance)
            << name << "(" << x << ")";
      }
    }
  }
}

TEST(Activation, ExtremesStayFinite) {
  for (const auto& c : cases()) {
    for (const auto& name : c.names) {
      if (name == "relu2") continue;
      const auto activation = activation_from_name(name).value();
      EXPECT_FALSE(std::isnan(activate(activation, 1e4F))) << name;
      EXPECT_FALSE(std::isnan(activate(activation, -1e4F))) << name;
    }
  }
}

TEST(Activation, UnknownNames) {
  for (const auto* name : {"", "SiLU", "prelu", "xielu", "gelu "}) {
    EXPECT_FALSE(activation_from_name(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace m2
