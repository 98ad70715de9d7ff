#include "chat/literal_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace m2::chat {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t skip_digits(std::string_view text, size_t pos) {
  while (pos < text.size() && is_digit(text[pos])) ++pos;
  return pos;
}

// The exponent part that starts at `pos`, saturated; 0 when there is none.
int64_t exponent_at(std::string_view number, size_t pos) {
  constexpr int64_t kLimit = 1'000'000'000;
  if (pos >= number.size()) return 0;
  ++pos;  // e or E
  const bool negative = number[pos] == '-';
  if (negative || number[pos] == '+') ++pos;
  int64_t exponent = 0;
  for (; pos < number.size() && exponent < kLimit; ++pos) {
    exponent = exponent * 10 + (number[pos] - '0');
  }
  return negative ? -exponent : exponent;
}

// For a number that no double holds: whether it is too large (else it is too close to zero).
bool is_huge(std::string_view number) {
  const size_t mantissa_end = std::min(number.find_first_of("eE"), number.size());
  const size_t first = number.find_first_of("123456789");
  if (first >= mantissa_end) return false;
  const size_t point = std::min(number.find('.'), mantissa_end);
  const int64_t magnitude = static_cast<int64_t>(point) - static_cast<int64_t>(first);
  return magnitude + exponent_at(number, mantissa_end) > 0;
}

}  // namespace

size_t json_number_length(std::string_view text) {
  size_t pos = !text.empty() && text[0] == '-' ? 1 : 0;
  const size_t whole = pos;
  pos = skip_digits(text, pos);
  if (pos == whole) return 0;
  if (text[whole] == '0') pos = whole + 1;
  if (pos + 1 < text.size() && text[pos] == '.' && is_digit(text[pos + 1])) {
    pos = skip_digits(text, pos + 1);
  }
  if (pos < text.size() && (text[pos] == 'e' || text[pos] == 'E')) {
    size_t exponent = pos + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    const size_t end = skip_digits(text, exponent);
    if (end > exponent) pos = end;
  }
  return pos;
}

bool is_json_number(std::string_view text) {
  return !text.empty() && json_number_length(text) == text.size();
}

std::optional<double> finite_value(std::string_view number) {
  double value = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    if (is_huge(number)) return std::nullopt;
    return 0.0;
  }
  if (result.ec != std::errc() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::string> as_integer(std::string_view json_number) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const std::optional<double> value = finite_value(json_number);
  if (!value || std::trunc(*value) != *value || std::fabs(*value) >= kExact) return std::nullopt;
  return std::to_string(static_cast<int64_t>(*value));
}

std::string without_leading_zeros(std::string_view digits) {
  const bool negative = digits[0] == '-';
  if (negative) digits.remove_prefix(1);
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string_view::npos) return "0";
  return (negative ? "-" : "") + std::string(digits.substr(first));
}

std::string float_repr(double value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view shortest(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = shortest.find('e');
  const int64_t exponent = exponent_at(shortest, e);
  // Python writes exponents below -4 and from 16 on, always with two digits, as to_chars does.
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  std::string text(buffer.data(), fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace m2::chat
