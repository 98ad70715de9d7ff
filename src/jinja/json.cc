// json.dumps for template values.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/repr.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

using unicode::hex;

class JsonWriter {
 public:
  JsonWriter(StrBuilder& out, const JsonStyle& style, Runtime& runtime)
      : out_(out), style_(style), runtime_(runtime) {}

  void write(const Value& value) {
    runtime_.charge();
    runtime_.check_stack();
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("null");
        break;
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat:
        out_.append(number(value));
        break;
      case Kind::kString:
        write_string(value.as_str());
        break;
      case Kind::kList:
      case Kind::kTuple:
        write_array(value);
        break;
      case Kind::kDict:
        write_object(value);
        break;
      default:
        raise("Object of type ", type_name(value), " is not JSON serializable");
    }
  }

 private:
  static std::string number(const Value& value) {
    if (value.is(Kind::kBool)) return value.as_bool() ? "true" : "false";
    if (value.is(Kind::kInt)) return int_text(value.as_int());
    const double real = value.as_float();
    if (std::isnan(real)) return "NaN";
    if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
    return float_repr(real);
  }

  void write_array(const Value& value) {
    if (value.items().empty()) return out_.append("[]");
    enter(value, '[');
    bool first = true;
    for (const Value& item : value.items()) {
      separate(first);
      write(item);
    }
    leave(']');
  }

  void write_object(const Value& value) {
    if (value.as_dict().size() == 0) return out_.append("{}");
    std::vector<Dict::Entry> entries = value.as_dict().entries();
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [this](const auto& a, const auto& b) {
        return runtime_.less(a.first, b.first);
      });
    }
    enter(value, '{');
    bool first = true;
    for (const auto& [key, item] : entries) {
      separate(first);
      write_key(key);
      out_.append(style_.key_separator);
      write(item);
    }
    leave('}');
  }

  void write_key(const Value& key) {
    if (key.is_string()) return write_string(key.as_str());
    if (!key.is_none() && !key.is_number()) {
      raise("keys must be str, int, float, bool or None, not ", type_name(key));
    }
    out_.append('"');
    out_.append(key.is_none() ? std::string("null") : number(key));
    out_.append('"');
  }

  void enter(const Value& container, char bracket) {
    const Object* object = container.as_object().get();
    if (std::find(path_.begin(), path_.end(), object) != path_.end()) {
      raise("Circular reference detected");
    }
    path_.push_back(object);
    out_.append(bracket);
    new_line();
  }

  void leave(char bracket) {
    path_.pop_back();
    new_line();
    out_.append(bracket);
  }

  void separate(bool& first) {
    if (!first) {
      out_.append(style_.item_separator);
      new_line();
    }
    first = false;
  }

  void new_line() {
    if (!style_.indent) return;
    out_.append('\n');
    for (size_t i = 0; i < path_.size(); ++i) out_.append(*style_.indent);
  }

  void write_string(const Str& text) {
    const std::string_view bytes = text.view();
    out_.append('"');
    size_t plain = 0;  // begin of the text that needs no escape
    for (size_t pos = 0; pos < bytes.size();) {
      const auto byte = static_cast<uint8_t>(bytes[pos]);
      size_t next = pos + 1;
      std::string escape;
      if (byte >= 0x80 && style_.ensure_ascii) {
        const utf8::Decoded unit = utf8::decode(bytes, pos);
        next = pos + static_cast<size_t>(unit.length);
        escape = escape_code_point(unit.code_point);
      } else if (byte < 0x20 || byte == '"' || byte == '\\' ||
                 (byte == 0x7F && style_.ensure_ascii)) {
        escape = escape_ascii(bytes[pos]);
      }
      if (!escape.empty()) {
        out_.append(text, plain, pos);
        out_.append_instead(text, pos, next, escape);
        plain = next;
      }
      pos = next;
    }
    out_.append(text, plain, bytes.size());
    out_.append('"');
  }

  static std::string escape_ascii(char c) {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\b':
        return "\\b";
      case '\f':
        return "\\f";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      default:
        return "\\u" + hex(static_cast<char32_t>(c), 4);
    }
  }

  static std::string escape_code_point(char32_t c) {
    if (c < 0x10000) return "\\u" + hex(c, 4);
    const char32_t offset = c - 0x10000;
    return "\\u" + hex(0xD800 + (offset >> 10), 4) + "\\u" + hex(0xDC00 + (offset & 0x3FF), 4);
  }

  StrBuilder& out_;
  const JsonStyle& style_;
  Runtime& runtime_;
  std::vector<const Object*> path_;
};

}  // namespace

void append_json(StrBuilder& out, const Value& value, const JsonStyle& style, Runtime& runtime) {
  JsonWriter(out, style, runtime).write(value);
}

}  // namespace m2::jinja
