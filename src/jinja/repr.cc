#include "jinja/repr.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

using unicode::hex;

// Containers that are being written, to notice one that holds itself.
using Path = std::vector<const Object*>;

void append_value(StrBuilder& out, const Value& value, Runtime& runtime, Path& path);

void append_items(StrBuilder& out, const std::vector<Value>& items, Runtime& runtime, Path& path) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_value(out, items[i], runtime, path);
  }
}

void append_dict(StrBuilder& out, const Dict& dict, Runtime& runtime, Path& path) {
  out.append('{');
  bool first = true;
  for (const auto& [key, item] : dict.entries()) {
    if (!first) out.append(", ");
    first = false;
    append_value(out, key, runtime, path);
    out.append(": ");
    append_value(out, item, runtime, path);
  }
  out.append('}');
}

void append_view(StrBuilder& out, const DictView& view, Runtime& runtime, Path& path) {
  constexpr std::array<std::string_view, 3> kNames{"dict_keys([", "dict_values([", "dict_items(["};
  out.append(kNames[static_cast<size_t>(view.part)]);
  std::vector<Value> items;
  for (size_t i = 0; i < view.dict->size(); ++i) items.push_back(view.at(i));
  append_items(out, items, runtime, path);
  out.append("])");
}

void append_range(StrBuilder& out, const Range& range) {
  out.append("range(" + int_text(range.start) + ", " + int_text(range.stop));
  if (range.step != 1) out.append(", " + int_text(range.step));
  out.append(')');
}

std::string_view recursion_mark(Kind kind) {
  switch (kind) {
    case Kind::kList:
      return "[...]";
    case Kind::kTuple:
      return "(...)";
    case Kind::kDict:
      return "{...}";
    case Kind::kNamespace:
      return "<Namespace {...}>";
    default:
      return "...";
  }
}

void append_container(StrBuilder& out, const Value& value, Runtime& runtime, Path& path) {
  const Object& object = *value.as_object();
  if (std::find(path.begin(), path.end(), &object) != path.end()) {
    out.append(recursion_mark(object.kind));
    return;
  }
  path.push_back(&object);
  switch (object.kind) {
    case Kind::kList:
      out.append('[');
      append_items(out, value.items(), runtime, path);
      out.append(']');
      break;
    case Kind::kTuple:
      out.append('(');
      append_items(out, value.items(), runtime, path);
      out.append(value.items().size() == 1 ? ",)" : ")");
      break;
    case Kind::kDict:
      append_dict(out, value.as_dict(), runtime, path);
      break;
    case Kind::kDictView:
      append_view(out, static_cast<const DictView&>(object), runtime, path);
      break;
    case Kind::kNamespace:
      out.append("<Namespace ");
      append_dict(out, static_cast<const Namespace&>(object).attributes, runtime, path);
      out.append('>');
      break;
    default:
      break;
  }
  path.pop_back();
}

void append_value(StrBuilder& out, const Value& value, Runtime& runtime, Path& path) {
  runtime.charge();
  runtime.check_stack();
  switch (value.kind()) {
    case Kind::kMissing:
      out.append("missing");
      break;
    case Kind::kUndefined:
      out.append("Undefined");
      break;
    case Kind::kNone:
      out.append("None");
      break;
    case Kind::kBool:
      out.append(value.as_bool() ? "True" : "False");
      break;
    case Kind::kInt:
      out.append(int_text(value.as_int()));
      break;
    case Kind::kFloat:
      out.append(float_repr(value.as_float()));
      break;
    case Kind::kString:
      if (value.as_str().is_markup()) out.append("Markup(");
      append_string_repr(out, value.as_str());
      if (value.as_str().is_markup()) out.append(')');
      break;
    case Kind::kRange:
      append_range(out, *value.get_if<Range>());
      break;
    case Kind::kIterator:
      out.append("<generator object>");
      break;
    case Kind::kObject:
      out.append(value.get_if<DynamicObject>()->repr(runtime));
      break;
    default:
      append_container(out, value, runtime, path);
  }
}

// Digits and the decimal exponent of the shortest text that reads back as `value`.
struct Decimal {
  std::string digits;
  int exponent;  // of the first digit
};

Decimal shortest_decimal(double value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = text.find('e');
  Decimal result{std::string(text.substr(0, 1)), 0};
  if (e > 2) result.digits += text.substr(2, e - 2);
  const size_t exponent_at = text[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(text.data() + exponent_at, text.data() + text.size(), result.exponent);
  return result;
}

}  // namespace

std::string int_text(Int value) {
  if (value == 0) return "0";
  std::string digits;
  const bool negative = value < 0;
  for (; value != 0; value /= 10) {
    const int digit = static_cast<int>(value % 10);
    digits.push_back(static_cast<char>('0' + (negative ? -digit : digit)));
  }
  if (negative) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  const std::string sign = std::signbit(value) ? "-" : "";
  if (std::isinf(value)) return sign + "inf";
  auto [digits, exponent] = shortest_decimal(std::abs(value));
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {  // the borders of Python's repr
    if (count > 1) digits.insert(1, ".");
    std::string power = std::to_string(std::abs(exponent));
    if (power.size() < 2) power.insert(0, "0");
    return sign + digits + (exponent < 0 ? "e-" : "e+") + power;
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (count <= exponent + 1) {
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  digits.insert(static_cast<size_t>(exponent) + 1, ".");
  return sign + digits;
}

void append_string_repr(StrBuilder& out, const Str& text) {
  const std::string_view bytes = text.view();
  const bool has_single = bytes.find('\'') != std::string_view::npos;
  const bool has_double = bytes.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append(quote);
  size_t plain = 0;  // begin of the text that needs no escape
  for (size_t pos = 0; pos < bytes.size();) {
    const utf8::Decoded unit = utf8::decode(bytes, pos);
    const char32_t c = unit.code_point;
    const size_t next = pos + static_cast<size_t>(unit.length);
    std::string escape;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      escape = {'\\', static_cast<char>(c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escape = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (!unicode::is_printable(c)) {
      escape = c < 0x100 ? "\\x" + hex(c, 2) : c < 0x10000 ? "\\u" + hex(c, 4) : "\\U" + hex(c, 8);
    }
    if (!escape.empty()) {
      out.append(text, plain, pos);
      out.append_instead(text, pos, next, escape);
      plain = next;
    }
    pos = next;
  }
  out.append(text, plain, bytes.size());
  out.append(quote);
}

void append_repr(StrBuilder& out, const Value& value, Runtime& runtime) {
  Path path;
  append_value(out, value, runtime, path);
}

void append_str(StrBuilder& out, const Value& value, Runtime& runtime) {
  if (value.is_string()) {
    out.append(value.as_str());
  } else if (!value.is_undefined()) {
    append_repr(out, value, runtime);
  }
}

}  // namespace m2::jinja
