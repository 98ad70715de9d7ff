#include "jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/literals.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators{
    "//", "**", "==", "!=", ">=", "<=",  // longest first
    "+",  "-",  "/",  "*",  "%",  "~",  "[", "]", "(", ")",
    "{",  "}",  ">",  "<",  "=",  ".",  ":", "|", ",", ";"};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (pos_ < source_.size()) lex_data();
    add(TokenKind::kEnd, pos_);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] static void fail(const std::string& message, size_t at) {
    throw Fault(ErrorCode::kInvalidArgument, message, static_cast<uint32_t>(at));
  }

  Token& add(TokenKind kind, size_t at, std::string text = {}) {
    tokens_.push_back({kind, static_cast<uint32_t>(at), std::move(text), Value::none()});
    return tokens_.back();
  }

  [[nodiscard]] bool starts_with(std::string_view text, size_t at) const {
    return source_.substr(std::min(at, source_.size())).starts_with(text);
  }

  // Position behind the white space at `at`.
  [[nodiscard]] size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      const utf8::Decoded unit = utf8::decode(source_, at);
      if (!unicode::is_space(unit.code_point)) break;
      at += static_cast<size_t>(unit.length);
    }
    return at;
  }

  [[nodiscard]] std::string_view strip_right(std::string_view text) const {
    while (!text.empty()) {
      size_t last = text.size() - 1;
      while (last > 0 && utf8::is_continuation(text[last])) --last;
      if (!unicode::is_space(utf8::decode(text, last).code_point)) break;
      text.remove_suffix(text.size() - last);
    }
    return text;
  }

  // Every token ends here: what follows a newline is at the start of a line.
  void advance(size_t to) {
    line_starting_ = to > pos_ && source_[to - 1] == '\n';
    pos_ = to;
  }

  // Text up to the next tag, and the tag.
  void lex_data() {
    const size_t begin = pos_;
    size_t tag = begin;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos) {
        add(TokenKind::kData, begin, std::string(source_.substr(begin)));
        return advance(source_.size());
      }
      if (starts_with("{%", tag) || starts_with("{{", tag) || starts_with("{#", tag)) break;
      ++tag;
    }
    const char opener = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_data(begin, tag, sign, opener != '{');
    const size_t inside = tag + (sign == '-' || sign == '+' ? 3 : 2);
    const std::optional<size_t> raw = opener == '%' ? raw_begin_end(inside) : std::nullopt;
    advance(raw.value_or(inside));
    if (raw) return lex_raw();
    if (opener == '#') return lex_comment();
    const bool block = opener == '%';
    add(block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, tag);
    lex_code(block);
  }

  // The text [begin, end) before a tag with the white space control `sign`.
  void add_data(size_t begin, size_t end, char sign, bool may_lstrip) {
    std::string_view text = source_.substr(begin, end - begin);
    if (sign == '-') {
      text = strip_right(text);
    } else if (sign != '+' && may_lstrip) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line > 0 || line_starting_) && line < text.size() &&
          strip_right(text.substr(line)).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) add(TokenKind::kData, begin, std::string(text));
  }

  // Where `raw %}` that begins at `at` ends.
  [[nodiscard]] std::optional<size_t> raw_begin_end(size_t at) const {
    at = skip_space(at);
    if (!starts_with("raw", at)) return std::nullopt;
    at = skip_space(at + 3);
    if (starts_with("-%}", at)) return skip_space(at + 3);
    if (starts_with("%}", at)) return at + 2;
    return std::nullopt;
  }

  // Where a closing tag ends, with the white space that it takes along; nothing if none is at `at`.
  [[nodiscard]] std::optional<size_t> closing_end(std::string_view closer, size_t at) const {
    if (starts_with("+", at) && starts_with(closer, at + 1)) return at + 3;
    if (starts_with("-", at) && starts_with(closer, at + 1)) return skip_space(at + 3);
    if (!starts_with(closer, at)) return std::nullopt;
    return at + (starts_with("\n", at + 2) ? 3 : 2);
  }

  void lex_raw() {
    const size_t begin = pos_;
    for (size_t tag = source_.find("{%", begin); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      size_t at = skip_space(tag + (sign == '-' || sign == '+' ? 3 : 2));
      if (!starts_with("endraw", at)) continue;
      const auto end = closing_end("%}", skip_space(at + 6));
      if (!end) continue;
      add_data(begin, tag, sign, /*may_lstrip=*/true);
      return advance(*end);
    }
    if (begin < source_.size()) fail("missing end of raw directive", begin);
  }

  void lex_comment() {
    const size_t begin = pos_;
    for (size_t at = source_.find("#}", begin); at != std::string_view::npos;
         at = source_.find("#}", at + 1)) {
      const bool has_sign = at > begin && (source_[at - 1] == '-' || source_[at - 1] == '+');
      return advance(*closing_end("#}", has_sign ? at - 1 : at));
    }
    if (begin < source_.size()) fail("missing end of comment tag", begin);
  }

  void lex_code(bool block) {
    std::vector<char> brackets;
    while (pos_ < source_.size()) {
      if (brackets.empty() && lex_closing(block)) return;
      const size_t space = skip_space(pos_);
      if (space != pos_) {
        advance(space);
      } else {
        lex_code_token(brackets);
      }
    }
  }

  bool lex_closing(bool block) {
    std::optional<size_t> end;
    if (block) {
      end = closing_end("%}", pos_);
    } else if (starts_with("-}}", pos_)) {
      end = skip_space(pos_ + 3);
    } else if (starts_with("}}", pos_)) {
      end = pos_ + 2;
    }
    if (!end) return false;
    add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, pos_);
    advance(*end);
    return true;
  }

  void lex_code_token(std::vector<char>& brackets) {
    const char c = source_[pos_];
    if (c >= '0' && c <= '9') return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    const utf8::Decoded unit = utf8::decode(source_, pos_);
    if (unit.code_point == '_' || unicode::is_alnum(unit.code_point)) return lex_name();
    for (const std::string_view op : kOperators) {
      if (!starts_with(op, pos_)) continue;
      balance(op[0], brackets);
      add(TokenKind::kOperator, pos_, std::string(op));
      return advance(pos_ + op.size());
    }
    fail("unexpected character '" + utf8::encode(unit.code_point) + "'", pos_);
  }

  void balance(char op, std::vector<char>& brackets) const {
    if (op == '(') brackets.push_back(')');
    if (op == '[') brackets.push_back(']');
    if (op == '{') brackets.push_back('}');
    if (op != ')' && op != ']' && op != '}') return;
    if (brackets.empty()) fail(std::string("unexpected '") + op + "'", pos_);
    if (brackets.back() != op) {
      fail(std::string("unexpected '") + op + "', expected '" + brackets.back() + "'", pos_);
    }
    brackets.pop_back();
  }

  void lex_name() {
    size_t end = pos_;
    bool valid = true;
    while (end < source_.size()) {
      const utf8::Decoded unit = utf8::decode(source_, end);
      const char32_t c = unit.code_point;
      if (c != '_' && !unicode::is_alnum(c)) break;
      if (c != '_' && !unicode::is_identifier_start(c) &&
          (end == pos_ || !unicode::is_decimal(c))) {
        valid = false;
      }
      end += static_cast<size_t>(unit.length);
    }
    if (!valid) fail("invalid character in identifier", pos_);
    add(TokenKind::kName, pos_, std::string(source_.substr(pos_, end - pos_)));
    advance(end);
  }

  void lex_string(char quote) {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("string is not terminated", pos_);
    const std::string_view body = source_.substr(pos_ + 1, end - pos_ - 1);
    const auto text = unescape_string(body);
    if (!text) fail("invalid escape sequence in string", pos_);
    add(TokenKind::kString, pos_, *text);
    advance(end + 1);
  }

  void lex_number() {
    const bool after_dot = pos_ > 0 && source_[pos_ - 1] == '.';
    const NumberLiteral literal = scan_number(source_.substr(pos_), !after_dot);
    if (!literal.value) fail("integer has more than 128 bits", pos_);
    add(literal.is_float ? TokenKind::kFloat : TokenKind::kInteger, pos_).number = *literal.value;
    advance(pos_ + literal.length);
  }

  std::string_view source_;
  size_t pos_ = 0;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace m2::jinja
