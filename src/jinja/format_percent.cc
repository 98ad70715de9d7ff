// The % operator of strings.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/repr.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

// % [(key)] [flags] [width] [.precision] [length] type
struct Directive {
  bool left = false, plus = false, space = false, alternate = false, zero = false;
  Int width = 0;
  Int precision = -1;
  char type = '\0';
};

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Str& format, const Value& values)
      : runtime_(runtime), format_(format), bytes_(format.view()), values_(values) {
    // As Python has it: whatever can be subscribed may be left unused.
    is_mapping_ = values.is_dict() || values.is(Kind::kList) || values.is_undefined() ||
                  values.is(Kind::kRange);
  }

  Value run() {
    StrBuilder out = runtime_.builder();
    while (pos_ < bytes_.size()) {
      const size_t percent = std::min(bytes_.find('%', pos_), bytes_.size());
      out.append(format_, pos_, percent);
      pos_ = percent;
      if (percent == bytes_.size()) break;
      ++pos_;
      out.append(directive());
    }
    const bool all_used = values_.is(Kind::kTuple) ? next_ >= values_.items().size()
                                                   : (next_ > 0 || is_mapping_ || keyed_);
    if (!all_used) raise("not all arguments converted during string formatting");
    return runtime_.text(out.take().as_markup(format_.is_markup()));
  }

 private:
  [[nodiscard]] char peek() const {
    if (pos_ >= bytes_.size()) raise("incomplete format");
    return bytes_[pos_];
  }

  Value take_argument() {
    if (keyed_value_) {
      Value value = *std::move(keyed_value_);
      keyed_value_.reset();
      return value;
    }
    if (!values_.is(Kind::kTuple)) {
      if (next_++ > 0) raise("not enough arguments for format string");
      return values_;
    }
    if (next_ >= values_.items().size()) raise("not enough arguments for format string");
    return values_.items()[next_++];
  }

  void parse_key() {
    if (peek() != '(') return;
    if (!is_mapping_) raise("format requires a mapping");
    const size_t begin = ++pos_;
    for (int nesting = 1; nesting > 0; ++pos_) {
      if (peek() == '(') ++nesting;
      if (peek() == ')') --nesting;
    }
    const std::string_view key = bytes_.substr(begin, pos_ - 1 - begin);
    if (values_.is_undefined()) raise(values_.undefined_message());
    const Value* found = values_.is_dict() ? values_.as_dict().find(key) : nullptr;
    if (found == nullptr) raise("format: there is no key '", key, "'");
    keyed_value_ = *found;
    keyed_ = true;
  }

  Int parse_number() {
    if (peek() == '*') {
      ++pos_;
      return to_index(take_argument());
    }
    Int value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + (bytes_[pos_++] - '0');
      if (value > (1 << 27)) raise_exhausted("too big a number in a format");
    }
    return value;
  }

  Str directive() {
    if (peek() == '%') {
      ++pos_;
      return Str("%");
    }
    parse_key();
    Directive d;
    for (;; ++pos_) {
      if (peek() == '-')
        d.left = true;
      else if (peek() == '+')
        d.plus = true;
      else if (peek() == ' ')
        d.space = true;
      else if (peek() == '#')
        d.alternate = true;
      else if (peek() == '0')
        d.zero = true;
      else
        break;
    }
    d.width = parse_number();
    if (d.width < 0) {
      d.left = true;
      d.width = -d.width;
    }
    if (peek() == '.') {
      ++pos_;
      d.precision = std::max<Int>(parse_number(), 0);
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++pos_;
    d.type = bytes_[pos_++];
    return convert(d);
  }

  Str convert(const Directive& d) {
    switch (d.type) {
      case 's':
        return lay_out_text(d, escape(text_of(take_argument())));
      case 'r':
        return lay_out_text(d, escape(runtime_.repr(take_argument())));
      case 'a':
        return lay_out_text(d, escape(ascii_repr(runtime_, take_argument())));
      case 'c':
        return lay_out_text(d, escape(character(take_argument())));
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return integer(d, take_argument());
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return real(d, take_argument());
      default:
        raise("unsupported format character '", d.type, "'");
    }
  }

  Str text_of(const Value& value) {
    return value.is_string() ? value.as_str() : runtime_.str(value);
  }

  Str escape(const Str& text) { return format_.is_markup() ? escape_html(runtime_, text) : text; }

  static Str character(const Value& value) {
    if (value.is_string() && value.as_str().length() == 1) return value.as_str();
    if (!value.is_integral()) raise("%c requires int or char");
    if (value.as_int() < 0 || value.as_int() > 0x10FFFF) raise("%c arg not in range(0x110000)");
    return Str(utf8::encode(static_cast<char32_t>(value.as_int())));
  }

  Str lay_out_text(const Directive& d, const Str& text) {
    Str shown = text.as_markup(false);
    if (d.precision >= 0 && d.precision < static_cast<Int>(shown.length())) {
      shown = shown.substr(0, shown.byte_offset(static_cast<size_t>(d.precision)));
    }
    return pad(runtime_, shown, d.width, Str(" "), d.left ? Side::kLeft : Side::kRight);
  }

  Str lay_out_number(const Directive& d, bool negative, const std::string& prefix,
                     const std::string& digits) {
    std::string sign = negative ? "-" : d.plus ? "+" : d.space ? " " : "";
    sign += prefix;
    if (!d.zero || d.left) {
      return pad(runtime_, Str(sign + digits), d.width, Str(" "),
                 d.left ? Side::kLeft : Side::kRight);
    }
    StrBuilder out = runtime_.builder();
    out.append(sign);
    out.append(pad(runtime_, Str(digits), d.width - static_cast<Int>(sign.size()), Str("0"),
                   Side::kRight));
    return out.take();
  }

  Str integer(const Directive& d, const Value& value) {
    if (value.is_undefined()) raise(value.undefined_message());
    const bool decimal = d.type == 'd' || d.type == 'i' || d.type == 'u';
    Int number = 0;
    if (value.is_integral()) {
      number = value.as_int();
    } else if (value.is(Kind::kFloat) && decimal) {
      if (!(std::abs(value.as_float()) < 0x1p126)) raise("cannot convert float to integer");
      number = static_cast<Int>(value.as_float());
    } else {
      raise("%", d.type, " format: a number is required, not ", type_name(value));
    }
    const int base = decimal ? 10 : d.type == 'o' ? 8 : 16;
    std::string digits = format_magnitude(number < 0 ? -number : number, base);
    if (d.precision > static_cast<Int>(digits.size())) {
      digits = std::string(pad(runtime_, Str(digits), d.precision, Str("0"), Side::kRight).view());
    }
    std::string prefix = !d.alternate || decimal ? "" : base == 8 ? "0o" : "0x";
    if (d.type == 'X') {
      digits = unicode::upper(digits);
      prefix = unicode::upper(prefix);
    }
    return lay_out_number(d, number < 0, prefix, digits);
  }

  Str real(const Directive& d, const Value& value) {
    if (value.is_undefined()) raise(value.undefined_message());
    if (!value.is_number()) raise("must be real number, not ", type_name(value));
    const double number = value.as_float();
    if (d.precision > 1000) raise("too big a precision in a format");
    const std::string digits =
        format_float(std::abs(number), d.type, static_cast<int>(d.precision), d.alternate);
    return lay_out_number(d, std::signbit(number) && !std::isnan(number), "", digits);
  }

  Runtime& runtime_;
  const Str& format_;
  std::string_view bytes_;
  const Value& values_;
  bool is_mapping_;
  bool keyed_ = false;
  std::optional<Value> keyed_value_;
  size_t pos_ = 0;
  size_t next_ = 0;
};

}  // namespace

Value format_percent(Runtime& runtime, const Str& format, const Value& values) {
  runtime.charge_scan(format.size());
  return PercentFormatter(runtime, format, values).run();
}

}  // namespace m2::jinja
