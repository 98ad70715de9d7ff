// Character properties and case conversion, as Python's str methods have them (Unicode 14).
#pragma once

#include <string>
#include <string_view>

namespace m2::jinja::unicode {

[[nodiscard]] bool is_alpha(char32_t c);
[[nodiscard]] bool is_decimal(char32_t c);
[[nodiscard]] bool is_digit(char32_t c);
[[nodiscard]] bool is_numeric(char32_t c);
[[nodiscard]] bool is_alnum(char32_t c);
[[nodiscard]] bool is_lower(char32_t c);
[[nodiscard]] bool is_upper(char32_t c);
[[nodiscard]] bool is_title(char32_t c);  // category Lt
[[nodiscard]] bool is_space(char32_t c);
[[nodiscard]] bool is_printable(char32_t c);
[[nodiscard]] bool is_identifier_start(char32_t c);  // without '_'

// Case conversion with the mappings to several characters and the final sigma.
[[nodiscard]] std::string upper(std::string_view text);
[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] std::string capitalize(std::string_view text);
[[nodiscard]] std::string title(std::string_view text);
[[nodiscard]] std::string casefold(std::string_view text);
[[nodiscard]] std::string swapcase(std::string_view text);

/// At least `digits` lower-case hexadecimal digits.
[[nodiscard]] std::string hex(char32_t value, int digits);

}  // namespace m2::jinja::unicode
