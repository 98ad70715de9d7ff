#include "chat/argument_value.h"

#include <algorithm>
#include <optional>

#include "chat/json_literal.h"
#include "chat/literal_number.h"
#include "chat/python_literal.h"
#include "chat/white_space.h"

namespace m2::chat {
namespace {

// `lower` is in lower case.
bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

std::optional<std::string> as_null(std::string_view text) {
  if (equals_ignoring_case(text, "null")) return "null";
  return std::nullopt;
}

std::optional<std::string> as_integer_argument(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::string_view digits = text;
  if (digits[0] == '+' || digits[0] == '-') digits.remove_prefix(1);
  if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos) {
    return without_leading_zeros(text[0] == '+' ? digits : text);
  }
  return is_json_number(text) ? as_integer(text) : std::nullopt;
}

std::optional<std::string> as_number(std::string_view text) {
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return std::nullopt;
  }
  if (!is_json_number(text) || !finite_value(text)) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> as_boolean(std::string_view text) {
  if (text == "1" || equals_ignoring_case(text, "true")) return "true";
  if (text == "0" || equals_ignoring_case(text, "false")) return "false";
  return std::nullopt;
}

std::optional<std::string> as_container(std::string_view text, char open) {
  if (text.empty() || text[0] != open) return std::nullopt;
  if (auto json = rewrite_json(text)) return json;
  return python_literal_to_json(text);
}

}  // namespace

std::string argument_json(std::string_view value, ValueTypes types) {
  using Convert = std::optional<std::string> (*)(std::string_view);
  struct Rule {
    ValueType type;
    Convert convert;
  };
  static constexpr Rule kRules[] = {
      {ValueType::kNull, as_null},
      {ValueType::kInteger, as_integer_argument},
      {ValueType::kNumber, as_number},
      {ValueType::kBoolean, as_boolean},
      {ValueType::kObject, [](std::string_view text) { return as_container(text, '{'); }},
      {ValueType::kArray, [](std::string_view text) { return as_container(text, '['); }},
  };
  const std::string_view text = trim(value);
  for (const Rule& rule : kRules) {
    if (!types.contains(rule.type)) continue;
    if (auto json = rule.convert(text)) return *json;
  }
  return json_string(value);
}

}  // namespace m2::chat
