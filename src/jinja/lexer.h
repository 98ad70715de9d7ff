// Template source to tokens, with Jinja2's white space control (trim_blocks, lstrip_blocks).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/value.h"

namespace m2::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  uint32_t offset;   // in the normalised source
  std::string text;  // data, name, unescaped string or operator
  Value number;      // of kInteger and kFloat
};

/// Line ends become "\n" and one at the very end is dropped.
[[nodiscard]] std::string normalize_newlines(std::string_view source);

/// Tokens of the normalised `source`, the last of them kEnd. Throws Fault for what is no template.
[[nodiscard]] std::vector<Token> tokenize(std::string_view source);

}  // namespace m2::jinja
