#include "jinja/literals.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

int digit_value(char c) {
  if (is_ascii_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return std::numeric_limits<int>::max();
}

// Length of a run of digits of `base` with single underscores between them.
size_t scan_digits(std::string_view text, int base) {
  size_t end = 0;
  while (end < text.size()) {
    if (digit_value(text[end]) < base) {
      ++end;
    } else if (end > 0 && text[end] == '_' && end + 1 < text.size() &&
               digit_value(text[end + 1]) < base) {
      end += 2;
    } else {
      break;
    }
  }
  return end;
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

// Value of plain digits; nothing when it has more than 127 bits.
std::optional<Int> digits_value(std::string_view digits, int base) {
  constexpr Int kMost = static_cast<Int>(~static_cast<unsigned __int128>(0) >> 1);
  Int value = 0;
  for (const char c : digits) {
    if (c == '_') continue;
    const int digit = digit_value(c);
    if (value > (kMost - digit) / base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

// from_chars reports values out of range without giving them; Python makes them inf and 0.
double float_value(const std::string& text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc::result_out_of_range) return value;
  const size_t exponent = text.find_first_of("eE");
  const bool tiny =
      exponent != std::string::npos && exponent + 1 < text.size() && text[exponent + 1] == '-';
  return tiny ? 0.0 : std::numeric_limits<double>::infinity();
}

size_t scan_float(std::string_view text) {
  size_t end = scan_digits(text, 10);
  bool is_float = false;
  if (end < text.size() && text[end] == '.') {
    const size_t fraction = scan_digits(text.substr(end + 1), 10);
    if (fraction > 0) {
      end += 1 + fraction;
      is_float = true;
    }
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const size_t sign = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-');
    const size_t exponent = scan_digits(text.substr(std::min(end + 1 + sign, text.size())), 10);
    if (exponent > 0) {
      end += 1 + sign + exponent;
      is_float = true;
    }
  }
  return is_float ? end : 0;
}

int prefix_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  const char c = static_cast<char>(text[1] | 0x20);
  return c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 0;
}

NumberLiteral scan_integer(std::string_view text) {
  NumberLiteral literal;
  int base = 10;
  size_t begin = 0;
  if (const int prefixed = prefix_base(text); prefixed != 0) {
    const size_t underscore = text.size() > 2 && text[2] == '_';
    if (scan_digits(text.substr(2 + underscore), prefixed) > 0) {
      base = prefixed;
      begin = 2 + underscore;
    }
  }
  size_t digits = scan_digits(text.substr(begin), base);
  if (base == 10 && text[0] == '0') {  // zeros only: "012" is the two tokens 0 and 12
    digits = scan_digits(text, 1);
  }
  literal.length = begin + digits;
  if (const auto value = digits_value(text.substr(begin, digits), base)) {
    literal.value = Value::integer(*value);
  }
  return literal;
}

// Code point of the escape with `digits` hexadecimal digits at `pos`.
std::optional<char32_t> hex_escape(std::string_view body, size_t pos, size_t digits) {
  if (pos + digits > body.size()) return std::nullopt;
  char32_t value = 0;
  for (size_t i = pos; i < pos + digits; ++i) {
    const int digit = digit_value(body[i]);
    if (digit >= 16) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(digit);
  }
  const bool scalar = value <= utf8::kMaxCodePoint && (value < 0xD800 || value > 0xDFFF);
  return scalar ? std::optional(value) : std::nullopt;
}

class Unescaper {
 public:
  explicit Unescaper(std::string_view body) : body_(body) {}

  std::optional<std::string> run() {
    while (pos_ < body_.size()) {
      const size_t backslash = std::min(body_.find('\\', pos_), body_.size());
      out_.append(body_.substr(pos_, backslash - pos_));
      pos_ = backslash + 1;
      if (backslash < body_.size() && !resolve()) return std::nullopt;
    }
    return std::move(out_);
  }

 private:
  // The escape whose backslash was just read.
  bool resolve() {
    if (pos_ >= body_.size()) return false;
    const char c = body_[pos_];
    constexpr std::string_view kNames = "\\'\"abfnrtv";
    constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t i = kNames.find(c); i != std::string_view::npos) {
      out_.push_back(kValues[i]);
      ++pos_;
      return true;
    }
    switch (c) {
      case '\n':
        ++pos_;
        return true;
      case 'x':
        return append_hex(2);
      case 'u':
        return append_hex(4);
      case 'U':
        return append_hex(8);
      case 'N':
        return false;  // character names would need the whole Unicode name table
      default:
        break;
    }
    if (c >= '0' && c <= '7') return append_octal();
    return append_unknown();
  }

  bool append_hex(size_t digits) {
    const auto value = hex_escape(body_, pos_ + 1, digits);
    if (value) utf8::append(out_, *value);
    pos_ += 1 + digits;
    return value.has_value();
  }

  bool append_octal() {
    char32_t value = 0;
    for (int i = 0; i < 3 && pos_ < body_.size() && body_[pos_] >= '0' && body_[pos_] <= '7'; ++i) {
      value = value * 8 + static_cast<char32_t>(body_[pos_++] - '0');
    }
    utf8::append(out_, value);
    return true;
  }

  // Not an escape: the backslash stays. Jinja2 turns non-ASCII characters into escapes before it
  // resolves escapes, so that a backslash before one leaves the letters of that escape.
  bool append_unknown() {
    const utf8::Decoded unit = utf8::decode(body_, pos_);
    pos_ += static_cast<size_t>(unit.length);
    out_.push_back('\\');
    const char32_t c = unit.code_point;
    if (c < 0x80) {
      out_.push_back(static_cast<char>(c));
    } else {
      out_ += c < 0x100     ? "x" + unicode::hex(c, 2)
              : c < 0x10000 ? "u" + unicode::hex(c, 4)
                            : "U" + unicode::hex(c, 8);
    }
    return true;
  }

  std::string_view body_;
  size_t pos_ = 0;
  std::string out_;
};

std::string_view strip(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

NumberLiteral scan_number(std::string_view text, bool allow_float) {
  if (allow_float) {
    if (const size_t length = scan_float(text); length > 0) {
      const double value = float_value(without_underscores(text.substr(0, length)));
      return {length, true, Value::floating(value)};
    }
  }
  return scan_integer(text);
}

std::optional<std::string> unescape_string(std::string_view body) { return Unescaper(body).run(); }

std::optional<Int> parse_int(std::string_view text, int base) {
  text = strip(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const int prefixed = prefix_base(text);
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    base = prefixed;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
    const bool zeros = text.find_first_not_of("0_") == std::string_view::npos;
    if (text.starts_with('0') && !zeros) return std::nullopt;
  }
  if (text.empty() || scan_digits(text, base) != text.size()) return std::nullopt;
  const auto value = digits_value(text, base);
  if (!value) raise_unsupported("integer has more than 128 bits");
  return negative ? -*value : *value;
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text);
  const double sign = text.starts_with('-') ? -1 : 1;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const std::string lowered = unicode::lower(text);
  if (lowered == "inf" || lowered == "infinity") {
    return sign * std::numeric_limits<double>::infinity();
  }
  if (lowered == "nan") return std::numeric_limits<double>::quiet_NaN();
  // digits [. digits] [e digits], with at least one digit before the exponent
  const size_t whole = scan_digits(text, 10);
  size_t end = whole;
  size_t fraction = 0;
  if (end < text.size() && text[end] == '.') {
    fraction = scan_digits(text.substr(end + 1), 10);
    end += 1 + fraction;
  }
  if (whole + fraction == 0) return std::nullopt;
  if (end < text.size() && (text[end] | 0x20) == 'e') {
    size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    const size_t digits = scan_digits(text.substr(std::min(exponent, text.size())), 10);
    if (digits == 0) return std::nullopt;
    end = exponent + digits;
  }
  if (end != text.size()) return std::nullopt;
  return sign * float_value(without_underscores(text));
}

}  // namespace m2::jinja
