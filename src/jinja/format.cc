#include "jinja/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/operators.h"
#include "jinja/repr.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

constexpr int kMaxPrecision = 1000;
constexpr int kMaxWidth = 1 << 30;  // the limit on text is reached long before

// A format specification: [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Spec {
  std::string fill = " ";
  char align = '\0';
  char sign = '-';
  bool alternate = false;
  bool zero_pad = false;
  Int width = 0;
  char grouping = '\0';
  int precision = -1;
  char type = '\0';
};

bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

class SpecParser {
 public:
  explicit SpecParser(std::string_view text) : text_(text) {}

  Spec parse() {
    Spec spec;
    parse_align(spec);
    if (at("+- ")) spec.sign = text_[pos_++];
    if (at("#")) spec.alternate = skip();
    if (at("0")) {
      spec.zero_pad = skip();
      if (!fill_given_) spec.fill = "0";
    }
    spec.width = number(kMaxWidth);
    if (at(",_")) spec.grouping = text_[pos_++];
    if (at(".")) {
      skip();
      if (pos_ >= text_.size() || !is_ascii_digit(text_[pos_]))
        raise("format specifier misses precision");
      spec.precision = number(kMaxPrecision);
    }
    if (pos_ < text_.size()) spec.type = text_[pos_++];
    if (pos_ < text_.size()) raise("invalid format specifier");
    return spec;
  }

 private:
  [[nodiscard]] bool at(std::string_view any) const {
    return pos_ < text_.size() && any.find(text_[pos_]) != std::string_view::npos;
  }
  bool skip() {
    ++pos_;
    return true;
  }

  void parse_align(Spec& spec) {
    if (text_.empty()) return;
    const auto first = static_cast<size_t>(utf8::decode(text_, 0).length);
    if (first < text_.size() && is_align(text_[first])) {
      spec.fill = std::string(text_.substr(0, first));
      fill_given_ = true;
      spec.align = text_[first];
      pos_ = first + 1;
    } else if (is_align(text_[0])) {
      spec.align = text_[0];
      pos_ = 1;
    }
  }

  int number(int most) {
    int value = 0;
    while (pos_ < text_.size() && is_ascii_digit(text_[pos_])) {
      value = value * 10 + (text_[pos_++] - '0');
      if (value > most) raise("too big a number in a format specifier");
      if (value > (1 << 27)) raise_exhausted("too big a width in a format specifier");
    }
    return value;
  }

  std::string_view text_;
  size_t pos_ = 0;
  bool fill_given_ = false;
};

// Thousands separators into the leading run of digits.
std::string group_digits(const std::string& text, char separator, size_t group) {
  const size_t end = std::min(text.find_first_not_of("0123456789abcdefABCDEF"), text.size());
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % group == 0) out.push_back(separator);
    out.push_back(text[i]);
  }
  return out + text.substr(end);
}

// Sign, prefix and digits of a number, padded; `digits` has no sign.
Str lay_out_number(Runtime& runtime, const Spec& spec, bool negative, const std::string& prefix,
                   std::string digits) {
  const size_t group = prefix.empty() || prefix == "0d" ? 3 : 4;
  if (spec.grouping != '\0') digits = group_digits(digits, spec.grouping, group);
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += spec.alternate ? prefix : "";
  const bool pads_inside = spec.align == '=' || (spec.align == '\0' && spec.zero_pad);
  if (pads_inside) {
    const Int missing = spec.width - static_cast<Int>(sign.size());
    if (spec.grouping != '\0' && spec.fill == "0") {
      std::string plain;
      std::copy_if(digits.begin(), digits.end(), std::back_inserter(plain),
                   [&](char c) { return c != spec.grouping; });
      while (static_cast<Int>(digits.size()) < missing) {
        plain.insert(0, "0");
        digits = group_digits(plain, spec.grouping, group);
      }
      return Str(sign + digits);
    }
    StrBuilder out = runtime.builder();
    out.append(sign);
    out.append(pad(runtime, Str(digits), missing, Str(spec.fill), Side::kRight));
    return out.take();
  }
  const Side side = spec.align == '<'   ? Side::kLeft
                    : spec.align == '^' ? Side::kBoth
                                        : Side::kRight;
  return pad(runtime, Str(sign + digits), spec.width, Str(spec.fill), side);
}

Str format_text(Runtime& runtime, const Str& text, const Spec& spec) {
  if (spec.type != '\0' && spec.type != 's') raise("unknown format code for a string");
  if (spec.sign != '-' || spec.alternate || spec.grouping != '\0') {
    raise("sign, alternate form and grouping are not allowed for strings");
  }
  if (spec.align == '=') raise("'=' alignment is not allowed for strings");
  Str shown = text;
  if (spec.precision >= 0 && static_cast<size_t>(spec.precision) < text.length()) {
    shown = text.substr(0, text.byte_offset(static_cast<size_t>(spec.precision)));
  }
  const Side side = spec.align == '>'   ? Side::kRight
                    : spec.align == '^' ? Side::kBoth
                                        : Side::kLeft;
  const bool centred = side == Side::kBoth;
  if (!centred) return pad(runtime, shown, spec.width, Str(spec.fill), side);
  // Unlike str.center, format puts the odd fill character on the right.
  const Int missing = std::max<Int>(spec.width - static_cast<Int>(shown.length()), 0);
  const Str left = pad(runtime, shown, static_cast<Int>(shown.length()) + missing / 2,
                       Str(spec.fill), Side::kRight);
  return pad(runtime, left, spec.width, Str(spec.fill), Side::kLeft);
}

Str format_real(Runtime& runtime, double value, Spec spec) {
  char type = spec.type;
  if (type == 'n') type = 'g';
  const bool negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::abs(value);
  std::string digits;
  if (type == '%') {
    digits = format_float(magnitude * 100, 'f', spec.precision, spec.alternate) + "%";
  } else if (type != '\0') {
    if (std::string_view("eEfFgG").find(type) == std::string_view::npos) {
      raise("unknown format code '", type, "' for object of type 'float'");
    }
    digits = format_float(magnitude, type, spec.precision, spec.alternate);
  } else if (spec.precision < 0) {
    digits = float_repr(magnitude);
  } else {  // like g, but floats stay recognisable
    const int precision = std::max(spec.precision, 1);
    const std::string exact = format_float(magnitude, 'e', precision - 1, false);
    const size_t e = exact.find('e');
    const int exponent = e == std::string::npos ? 0 : std::atoi(exact.c_str() + e + 1);
    digits = format_float(magnitude, 'g', precision, spec.alternate);
    if (e != std::string::npos && digits.find('e') == std::string::npos) {
      if (exponent + 1 > precision - 1) {
        std::string mantissa = exact.substr(0, e);
        while (mantissa.find('.') != std::string::npos &&
               (mantissa.back() == '0' || mantissa.back() == '.')) {
          const bool dot = mantissa.back() == '.';
          mantissa.pop_back();
          if (dot) break;
        }
        digits = mantissa + exact.substr(e);
      } else if (digits.find('.') == std::string::npos) {
        digits += ".0";
      }
    }
  }
  spec.alternate = false;  // there is no prefix
  return lay_out_number(runtime, spec, negative, "", digits);
}

Str format_integer(Runtime& runtime, const Value& value, const Spec& spec) {
  const Int number = value.as_int();
  const Int magnitude = number < 0 ? -number : number;
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != '\0') {
    return format_real(runtime, value.as_float(), spec);
  }
  if (spec.precision >= 0) raise("precision is not allowed in integer format specifier");
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n':
      return lay_out_number(runtime, spec, number < 0, "", format_magnitude(magnitude, 10));
    case 'b':
      return lay_out_number(runtime, spec, number < 0, "0b", format_magnitude(magnitude, 2));
    case 'o':
      return lay_out_number(runtime, spec, number < 0, "0o", format_magnitude(magnitude, 8));
    case 'x':
      return lay_out_number(runtime, spec, number < 0, "0x", format_magnitude(magnitude, 16));
    case 'X':
      return lay_out_number(runtime, spec, number < 0, "0X",
                            unicode::upper(format_magnitude(magnitude, 16)));
    case 'c': {
      if (number < 0 || number > 0x10FFFF) raise("%c arg not in range(0x110000)");
      const Side side =
          spec.align == '<' || (spec.align == '\0' && !spec.zero_pad) ? Side::kLeft : Side::kRight;
      return pad(runtime, Str(utf8::encode(static_cast<char32_t>(number))), spec.width,
                 Str(spec.fill), side);
    }
    default:
      raise("unknown format code '", spec.type, "' for object of type 'int'");
  }
}

}  // namespace

std::string format_magnitude(Int value, int base) {
  if (value == 0) return "0";
  std::string digits;
  for (; value != 0; value /= base) {
    digits.push_back("0123456789abcdef"[static_cast<size_t>(value % base)]);
  }
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string format_float(double value, char conversion, int precision, bool alternate) {
  const bool upper_case = conversion >= 'A' && conversion <= 'Z';
  if (!std::isfinite(value)) {
    const std::string text = float_repr(value);
    return upper_case ? unicode::upper(text) : text;
  }
  if (precision > kMaxPrecision) raise("too big a precision in a format");
  const std::array<char, 8> format{'%', alternate ? '#' : '.', alternate ? '.' : '*',
                                   alternate ? '*' : conversion, alternate ? conversion : '\0'};
  std::array<char, kMaxPrecision + 400> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), format.data(),
                                   precision < 0 ? 6 : precision, value);
  return {buffer.data(), static_cast<size_t>(length)};
}

Str format_value(Runtime& runtime, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return runtime.str(value);
  if (value.is_string()) {
    return format_text(runtime, value.as_str().as_markup(false), SpecParser(spec_text).parse());
  }
  if (value.is_integral()) return format_integer(runtime, value, SpecParser(spec_text).parse());
  if (value.is(Kind::kFloat)) {
    return format_real(runtime, value.as_float(), SpecParser(spec_text).parse());
  }
  raise("unsupported format string passed to ", type_name(value), ".__format__");
}

}  // namespace m2::jinja
