// Numbers as JSON and Python write them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace m2::chat {

/// Length of the longest JSON number that `text` begins with; 0 when there is none.
[[nodiscard]] size_t json_number_length(std::string_view text);

[[nodiscard]] bool is_json_number(std::string_view text);

/// The value of a number of the form digits[.digits][e[+-]digits] with an optional minus, where
/// either digit group around the point may be missing; nullopt when it is too large for a double.
[[nodiscard]] std::optional<double> finite_value(std::string_view number);

/// The JSON number as an integer when its value is one and below 2^53 in magnitude: 5.0 gives 5.
[[nodiscard]] std::optional<std::string> as_integer(std::string_view json_number);

/// [0-9]+ or -[0-9]+ without leading zeros; zero has no sign.
[[nodiscard]] std::string without_leading_zeros(std::string_view digits);

/// As Python's repr of a float: the shortest digits that read back, 1.0, 1e+20. `value` is finite.
[[nodiscard]] std::string float_repr(double value);

}  // namespace m2::chat
