// str.format and the conversions of its fields.
#include <algorithm>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

// str.format as Jinja2's sandbox does it: attributes and items by the rules of templates.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, bool markup)
      : runtime_(runtime), arguments_(arguments), markup_(markup) {}

  Str format(const Str& text, int depth) {
    if (depth > 2) raise("max string recursion exceeded");
    StrBuilder out = runtime_.builder();
    const std::string_view bytes = text.view();
    size_t plain = 0;
    for (size_t pos = 0; pos < bytes.size();) {
      if (bytes[pos] != '{' && bytes[pos] != '}') {
        ++pos;
        continue;
      }
      out.append(text, plain, pos);
      const bool doubled = pos + 1 < bytes.size() && bytes[pos + 1] == bytes[pos];
      if (doubled) {
        out.append(text, pos, pos + 1);
        pos += 2;
      } else {
        if (bytes[pos] == '}') raise("single '}' encountered in format string");
        const size_t end = field_end(bytes, pos + 1);
        out.append(field(text.substr(pos + 1, end), depth));
        pos = end + 1;
      }
      plain = pos;
    }
    out.append(text, plain, bytes.size());
    return out.take();
  }

 private:
  static size_t field_end(std::string_view bytes, size_t pos) {
    int nesting = 1;
    for (; pos < bytes.size(); ++pos) {
      if (bytes[pos] == '{') ++nesting;
      if (bytes[pos] == '}' && --nesting == 0) return pos;
    }
    raise("expected '}' before end of string");
  }

  // name [! conversion] [: specification]
  Str field(const Str& text, int depth) {
    const std::string_view bytes = text.view();
    size_t end = 0;
    for (int bracket = 0; end < bytes.size(); ++end) {
      if (bytes[end] == '[') bracket = 1;
      if (bytes[end] == ']') bracket = 0;
      if (bracket == 0 && (bytes[end] == '!' || bytes[end] == ':')) break;
      if (bytes[end] == '{') raise("unexpected '{' in field name");
    }
    Value value = resolve(bytes.substr(0, end));
    if (end < bytes.size() && bytes[end] == '!') {
      if (end + 1 >= bytes.size()) raise("end of string while looking for conversion specifier");
      value = convert(value, bytes[end + 1]);
      end += 2;
      if (end < bytes.size() && bytes[end] != ':') raise("expected ':' after conversion specifier");
    }
    const Str spec = end < bytes.size() ? format(text.substr(end + 1), depth + 1) : Str();
    if (!markup_) return format_value(runtime_, value, spec.view());
    if (value.is_string() && value.as_str().is_markup()) return value.as_str();
    return escape_html(runtime_, format_value(runtime_, value, spec.view()));
  }

  Value convert(const Value& value, char conversion) {
    switch (conversion) {
      case 's':
        return Value::string(runtime_.str(value));
      case 'r':
        return Value::string(runtime_.repr(value));
      case 'a':
        return Value::string(ascii_repr(runtime_, value));
      default:
        raise("unknown conversion specifier");
    }
  }

  Value resolve(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, first_end), name.empty());
    for (size_t pos = first_end; pos < name.size();) {
      if (name[pos] == '.') {
        const size_t end = std::min(name.find_first_of(".[", pos + 1), name.size());
        if (end == pos + 1) raise("empty attribute in format string");
        value = get_attribute(runtime_, value, name.substr(pos + 1, end - pos - 1));
        pos = end;
      } else if (name[pos] == '[') {
        const size_t end = name.find(']', pos);
        if (end == std::string_view::npos) raise("missing ']' in format string");
        if (end == pos + 1) raise("empty attribute in format string");
        value = get_item(runtime_, value, key(name.substr(pos + 1, end - pos - 1)));
        pos = end + 1;
      } else {
        raise("only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static Value key(std::string_view text) {
    const bool number = std::all_of(text.begin(), text.end(), is_ascii_digit) && text.size() < 18;
    return number ? Value::integer(std::stoll(std::string(text)))
                  : Value::string(std::string(text));
  }

  Value argument(std::string_view name, bool automatic) {
    const bool number = std::all_of(name.begin(), name.end(), is_ascii_digit) && name.size() < 10;
    if (automatic || (number && !name.empty())) {
      if (mode_ != Mode::kUnknown && (mode_ == Mode::kAutomatic) != automatic) {
        raise("cannot switch between manual and automatic field numbering");
      }
      mode_ = automatic ? Mode::kAutomatic : Mode::kManual;
      const size_t index = automatic ? next_++ : std::stoul(std::string(name));
      if (index >= arguments_.positional.size()) {
        raise("replacement index ", index, " out of range for positional args");
      }
      return arguments_.positional[index];
    }
    for (const auto& [keyword, value] : arguments_.keyword) {
      if (keyword == name) return value;
    }
    raise("format: there is no argument '", name, "'");
  }

  enum class Mode { kUnknown, kManual, kAutomatic };
  Runtime& runtime_;
  const Arguments& arguments_;
  bool markup_;
  Mode mode_ = Mode::kUnknown;
  size_t next_ = 0;
};

}  // namespace

Str ascii_repr(Runtime& runtime, const Value& value) {
  const Str shown = runtime.repr(value);
  StrBuilder out = runtime.builder();
  const std::string_view bytes = shown.view();
  for (size_t pos = 0; pos < bytes.size();) {
    const utf8::Decoded unit = utf8::decode(bytes, pos);
    const size_t end = pos + static_cast<size_t>(unit.length);
    const char32_t c = unit.code_point;
    if (c < 0x80) {
      out.append(shown, pos, end);
    } else {
      out.append_instead(shown, pos, end,
                         c < 0x100     ? "\\x" + unicode::hex(c, 2)
                         : c < 0x10000 ? "\\u" + unicode::hex(c, 4)
                                       : "\\U" + unicode::hex(c, 8));
    }
    pos = end;
  }
  return out.take();
}

Value format_braces(Runtime& runtime, const Str& format, const Arguments& arguments) {
  BraceFormatter formatter(runtime, arguments, format.is_markup());
  return runtime.text(formatter.format(format, 1).as_markup(format.is_markup()));
}

}  // namespace m2::jinja
