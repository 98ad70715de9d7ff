// Tables of everything that templates find by name without defining it.
#pragma once

#include <string_view>

#include "jinja/objects.h"
#include "jinja/value.h"

namespace m2::jinja {

using FilterFunction = Value (*)(Runtime&, const Value& input, Arguments&);
using TestFunction = bool (*)(Runtime&, const Value& input, Arguments&);

template <typename Function>
struct NamedFunction {
  std::string_view name;
  Function function;
};

// Each returns null, or missing, when there is nothing of that name.
[[nodiscard]] FilterFunction find_filter(std::string_view name);
[[nodiscard]] TestFunction find_test(std::string_view name);
[[nodiscard]] Value find_global(std::string_view name);

/// The method `name` of a string, list, tuple, dict or number, bound to it.
[[nodiscard]] Value find_method(const Value& self, std::string_view name);

}  // namespace m2::jinja
