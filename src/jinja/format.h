// Python's three ways of formatting: the % operator, str.format and format specifications.
#pragma once

#include <string_view>

#include "jinja/runtime.h"
#include "jinja/str.h"

namespace m2::jinja {

/// `format.format(*positional, **keyword)`.
[[nodiscard]] Value format_braces(Runtime& runtime, const Str& format, const Arguments& arguments);

/// `format(value, spec)`: str, int, float and bool, and nothing but the empty spec for others.
[[nodiscard]] Str format_value(Runtime& runtime, const Value& value, std::string_view spec);

/// ascii(value): repr with escapes for what is not ASCII.
[[nodiscard]] Str ascii_repr(Runtime& runtime, const Value& value);

/// A float in the printf style `conversion` (e f g, or upper case); `precision` below 0 is 6.
[[nodiscard]] std::string format_float(double value, char conversion, int precision,
                                       bool alternate);

/// Digits of a magnitude in base 2, 8, 10 or 16.
[[nodiscard]] std::string format_magnitude(Int value, int base);

}  // namespace m2::jinja
