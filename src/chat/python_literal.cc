#include "chat/python_literal.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "base/utf8.h"
#include "chat/json_literal.h"
#include "chat/literal_number.h"

namespace m2::chat {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// The letters of escapes that stand for one character, and those characters.
constexpr std::string_view kEscapeNames = "\\'\"abfnrtv";
constexpr std::string_view kEscapeValues = "\\'\"\a\b\f\n\r\t\v";

// Recursive descent that writes JSON while it reads; false as soon as the text does not fit.
class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : text_(text) { out_.reserve(text.size()); }

  std::optional<std::string> run() {
    skip_space();
    if (!value(0)) return std::nullopt;
    skip_space();
    if (pos_ != text_.size()) return std::nullopt;
    return std::move(out_);
  }

 private:
  [[nodiscard]] char peek(size_t ahead = 0) const {
    return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
  }

  void skip_space() {
    while (pos_ < text_.size() &&
           std::string_view(" \t\r\n\f").find(text_[pos_]) != std::string_view::npos) {
      ++pos_;
    }
  }

  bool accept(char c) {
    if (pos_ >= text_.size() || text_[pos_] != c) return false;
    ++pos_;
    return true;
  }

  bool value(int depth) {
    if (pos_ >= text_.size() || depth > kMaxLiteralDepth) return false;
    switch (text_[pos_]) {
      case '{':
        return dict(depth);
      case '[':
        return sequence(depth, ']');
      case '(':
        return sequence(depth, ')');
      default:
        return scalar();
    }
  }

  bool scalar() {
    if (at_string()) {
      std::string text;
      if (!strings(text)) return false;
      out_ += json_string(text);
      return true;
    }
    const char c = peek();
    return is_digit(c) || c == '.' || c == '-' || c == '+' ? number() : word();
  }

  bool word() {
    size_t end = pos_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    const std::string_view name = text_.substr(pos_, end - pos_);
    pos_ = end;
    if (name == "True") return out_ += "true", true;
    if (name == "False") return out_ += "false", true;
    if (name == "None") return out_ += "null", true;
    return false;
  }

  bool dict(int depth) {
    ++pos_;
    out_ += '{';
    for (bool first = true;; first = false) {
      skip_space();
      if (accept('}')) return out_ += '}', true;
      if (!first) out_ += ", ";
      if (!key()) return false;
      skip_space();
      if (!accept(':')) return false;
      out_ += ": ";
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (peek() != '}' && !accept(',')) return false;
    }
  }

  // A string, or a scalar whose JSON text json.dumps puts between quotes.
  bool key() {
    const bool is_string = at_string();
    if (!is_string) out_ += '"';
    if (!scalar()) return false;
    if (!is_string) out_ += '"';
    return true;
  }

  bool sequence(int depth, char close) {
    const size_t start = out_.size();
    ++pos_;
    out_ += '[';
    size_t count = 0;
    bool comma = false;
    for (;; ++count) {
      skip_space();
      if (accept(close)) break;
      if (count > 0 && !comma) return false;
      if (count > 0) out_ += ", ";
      if (!value(depth + 1)) return false;
      skip_space();
      comma = accept(',');
    }
    // (x) is x; only a comma makes a tuple.
    if (close == ')' && count == 1 && !comma) {
      out_.erase(start, 1);
    } else {
      out_ += ']';
    }
    return true;
  }

  [[nodiscard]] bool at_string() const {
    size_t ahead = 0;
    if (is_raw_prefix(peek()) || peek() == 'u' || peek() == 'U') ahead = 1;
    return peek(ahead) == '\'' || peek(ahead) == '"';
  }

  static bool is_raw_prefix(char c) { return c == 'r' || c == 'R'; }

  // One or more adjacent string literals.
  bool strings(std::string& text) {
    while (at_string()) {
      if (!string(text)) return false;
      skip_space();
    }
    return true;
  }

  bool string(std::string& text) {
    const bool raw = is_raw_prefix(peek());
    if (is_word(peek())) ++pos_;
    const char quote = peek();
    const bool triple = peek(1) == quote && peek(2) == quote;
    const std::string closing(triple ? 3 : 1, quote);
    pos_ += closing.size();
    while (pos_ < text_.size()) {
      if (text_.substr(pos_, closing.size()) == closing) {
        pos_ += closing.size();
        return true;
      }
      const char c = text_[pos_];
      if (c == '\0' || (!triple && (c == '\n' || c == '\r'))) return false;
      if (c == '\\') {
        if (!escape(text, raw)) return false;
      } else {
        text += c;
        ++pos_;
      }
    }
    return false;
  }

  bool escape(std::string& text, bool raw) {
    if (pos_ + 1 >= text_.size()) return false;
    const char name = text_[pos_ + 1];
    const size_t index = kEscapeNames.find(name);
    if (raw || name == 'N') {
      if (!raw) return false;  // \N{...} would need the Unicode name table
      text += text_.substr(pos_, 2);
      pos_ += 2;
      return true;
    }
    pos_ += 2;
    if (index != std::string_view::npos) {
      text += kEscapeValues[index];
    } else if (name == 'x') {
      return code_point(text, 2);
    } else if (name == 'u') {
      return code_point(text, 4);
    } else if (name == 'U') {
      return code_point(text, 8);
    } else if (name >= '0' && name <= '7') {
      octal(text, name);
    } else if (name != '\n') {  // an escaped line end joins the lines; others keep the backslash
      text += '\\';
      text += name;
    }
    return true;
  }

  bool code_point(std::string& text, size_t digits) {
    const std::string_view hex = text_.substr(std::min(pos_, text_.size()), digits);
    uint32_t code = 0;
    const auto result = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() != digits || result.ec != std::errc() || result.ptr != hex.data() + digits) {
      return false;
    }
    if (code > utf8::kMaxCodePoint) return false;
    pos_ += digits;
    utf8::append(text, static_cast<char32_t>(code));
    return true;
  }

  void octal(std::string& text, char first) {
    char32_t code = static_cast<char32_t>(first - '0');
    for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; ++i) {
      code = code * 8 + static_cast<char32_t>(text_[pos_++] - '0');
    }
    utf8::append(text, code);
  }

  bool number() {
    bool negative = false;
    if (peek() == '-' || peek() == '+') {
      negative = text_[pos_++] == '-';
      skip_space();
    }
    std::string digits;
    if (!number_characters(digits)) return false;
    if (digits.size() > 1 && digits[0] == '0' &&
        std::string_view("xXoObB").find(digits[1]) != std::string_view::npos) {
      return radix_number(digits, negative);
    }
    if (digits.find_first_not_of("0123456789") == std::string::npos) {
      if (digits[0] == '0' && digits.find_first_not_of('0') != std::string::npos) return false;
      out_ += without_leading_zeros((negative ? "-" : "") + digits);
      return true;
    }
    return decimal_number(digits, negative);
  }

  // The letters, digits and signs of one number without the underscores, which must stand alone
  // between two digits.
  bool number_characters(std::string& digits) {
    for (; pos_ < text_.size(); ++pos_) {
      const char c = text_[pos_];
      const bool sign = (c == '+' || c == '-') && !digits.empty() &&
                        (digits.back() == 'e' || digits.back() == 'E');
      if (!is_word(c) && c != '.' && !sign) break;
      if (c != '_') {
        digits += c;
      } else if (digits.empty() || !is_word(digits.back()) || !is_word(peek(1)) || peek(1) == '_') {
        return false;
      }
    }
    return !digits.empty();
  }

  bool radix_number(std::string_view digits, bool negative) {
    const char kind = digits[1];
    const int base = kind == 'x' || kind == 'X' ? 16 : kind == 'o' || kind == 'O' ? 8 : 2;
    digits.remove_prefix(2);
    uint64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) return false;
    if (negative && value > 0) out_ += '-';
    out_ += std::to_string(value);
    return true;
  }

  bool decimal_number(std::string_view digits, bool negative) {
    // Besides the JSON forms Python has "1." and ".5" and zeros in front of a fraction.
    const size_t mantissa = std::min(digits.find_first_of("eE"), digits.size());
    size_t num_digits = 0;
    size_t num_points = 0;
    for (const char c : digits.substr(0, mantissa)) {
      num_digits += is_digit(c);
      num_points += c == '.';
    }
    if (num_digits == 0 || num_digits + num_points != mantissa || num_points > 1) return false;
    if (mantissa < digits.size() && !is_json_number("1" + std::string(digits.substr(mantissa)))) {
      return false;
    }
    const std::optional<double> value = finite_value(digits);
    if (!value) return false;
    out_ += float_repr(negative ? -*value : *value);
    return true;
  }

  std::string_view text_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

std::optional<std::string> python_literal_to_json(std::string_view text) {
  return PythonReader(text).run();
}

}  // namespace m2::chat
