// Numbers and strings as they are written in templates, and numbers in strings.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace m2::jinja {

struct NumberLiteral {
  size_t length = 0;
  bool is_float = false;
  std::optional<Value> value;  // nothing: an integer that does not fit
};

/// The number at the start of `text`, which begins with a digit. Floats are not looked for behind
/// a dot, so that `a.0.1` reads as two subscripts.
[[nodiscard]] NumberLiteral scan_number(std::string_view text, bool allow_float);

/// What is between the quotes of a literal with Python's escapes resolved; nothing when an escape
/// is malformed.
[[nodiscard]] std::optional<std::string> unescape_string(std::string_view body);

/// Python's int(text, base) and float(text); nothing where they raise.
[[nodiscard]] std::optional<Int> parse_int(std::string_view text, int base);
[[nodiscard]] std::optional<double> parse_float(std::string_view text);

}  // namespace m2::jinja
