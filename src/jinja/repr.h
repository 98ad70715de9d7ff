// Values as text: Python's str() and repr(), and JSON.
#pragma once

#include <optional>
#include <string>

#include "jinja/runtime.h"
#include "jinja/str.h"
#include "jinja/value.h"

namespace m2::jinja {

[[nodiscard]] std::string int_text(Int value);
[[nodiscard]] std::string float_repr(double value);

void append_str(StrBuilder& out, const Value& value, Runtime& runtime);
void append_repr(StrBuilder& out, const Value& value, Runtime& runtime);
void append_string_repr(StrBuilder& out, const Str& text);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<Str> indent;  // of one level
  Str item_separator{", "};
  Str key_separator{": "};
};

/// json.dumps. Throws for what has no JSON form.
void append_json(StrBuilder& out, const Value& value, const JsonStyle& style, Runtime& runtime);

}  // namespace m2::jinja
