// Operators and subscripts on values, as Python has them.
#pragma once

#include <optional>
#include <string_view>

#include "jinja/ast.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace m2::jinja {

/// Arithmetic; `op` is neither kAnd nor kOr.
[[nodiscard]] Value binary_operation(Runtime& runtime, BinaryOp op, const Value& a, const Value& b);
[[nodiscard]] Value negate(const Value& value);
[[nodiscard]] Value plus(const Value& value);
[[nodiscard]] bool compare_values(Runtime& runtime, CompareOp op, const Value& a, const Value& b);

/// `object.name`: attributes and methods first, then items. Undefined when there is neither.
[[nodiscard]] Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
/// `object[key]`: items first, then attributes.
[[nodiscard]] Value get_item(Runtime& runtime, const Value& object, const Value& key);
/// As get_attribute, but missing when there is no attribute of that name; items are not looked at.
[[nodiscard]] Value find_attribute(Runtime& runtime, const Value& object, std::string_view name);

/// `object[start:stop:step]`, each bound none or an integer.
[[nodiscard]] Value get_slice(Runtime& runtime, const Value& object, const Value& start,
                              const Value& stop, const Value& step);

/// HTML escape of text that is not markup yet; the result is markup.
[[nodiscard]] Str escape_html(Runtime& runtime, const Str& text);

/// `format % values`.
[[nodiscard]] Value format_percent(Runtime& runtime, const Str& format, const Value& values);

}  // namespace m2::jinja
