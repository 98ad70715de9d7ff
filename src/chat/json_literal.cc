#include "chat/json_literal.h"

#include <cstdint>
#include <utility>

#include "base/utf8.h"
#include "chat/literal_number.h"
#include "chat/white_space.h"

namespace m2::chat {
namespace {

// Recursive descent; every function returns false as soon as the text is not JSON.
class JsonRewriter {
 public:
  explicit JsonRewriter(std::string_view text) : text_(text) { out_.reserve(text.size()); }

  std::optional<std::string> run() {
    skip_space();
    if (!value(0)) return std::nullopt;
    skip_space();
    if (pos_ != text_.size()) return std::nullopt;
    return std::move(out_);
  }

 private:
  void skip_space() {
    while (pos_ < text_.size() && is_white_space(text_[pos_])) ++pos_;
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
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view expected) {
    if (text_.substr(pos_, expected.size()) != expected) return false;
    pos_ += expected.size();
    out_ += expected;
    return true;
  }

  bool number() {
    const size_t length = json_number_length(text_.substr(pos_));
    out_ += text_.substr(pos_, length);
    pos_ += length;
    return length > 0;
  }

  bool object(int depth) {
    ++pos_;
    out_ += '{';
    skip_space();
    if (accept('}')) return out_ += '}', true;
    while (true) {
      skip_space();
      if (pos_ >= text_.size() || text_[pos_] != '"' || !string()) return false;
      skip_space();
      if (!accept(':')) return false;
      out_ += ": ";
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (accept('}')) return out_ += '}', true;
      if (!accept(',')) return false;
      out_ += ", ";
    }
  }

  bool array(int depth) {
    ++pos_;
    out_ += '[';
    skip_space();
    if (accept(']')) return out_ += ']', true;
    while (true) {
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (accept(']')) return out_ += ']', true;
      if (!accept(',')) return false;
      out_ += ", ";
    }
  }

  bool string() {
    ++pos_;
    out_ += '"';
    while (pos_ < text_.size()) {
      const char c = text_[pos_];
      if (c == '"') {
        ++pos_;
        out_ += '"';
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\') {
        if (!escape()) return false;
      } else {
        out_ += c;
        ++pos_;
      }
    }
    return false;
  }

  bool escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    if (pos_ + 1 >= text_.size()) return false;
    const char name = text_[pos_ + 1];
    pos_ += 2;
    if (name == 'u') return unicode_escape();
    const size_t index = kNames.find(name);
    if (index == std::string_view::npos) return false;
    append_json_escaped(out_, kValues.substr(index, 1));
    return true;
  }

  // After "\u".
  bool unicode_escape() {
    std::optional<char32_t> code = hex4();
    if (!code) return false;
    if (*code >= 0xD800 && *code < 0xDC00 && text_.substr(pos_, 2) == "\\u") {
      const size_t before = pos_;
      pos_ += 2;
      const std::optional<char32_t> low = hex4();
      if (!low) return false;
      if (*low >= 0xDC00 && *low < 0xE000) {
        *code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
      } else {
        pos_ = before;
      }
    }
    append_json_escaped(out_, utf8::encode(*code));
    return true;
  }

  std::optional<char32_t> hex4() {
    char32_t code = 0;
    if (text_.size() - pos_ < 4) return std::nullopt;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[pos_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      code = code * 16 + static_cast<char32_t>(digit);
    }
    return code;
  }

  std::string_view text_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  size_t plain = 0;  // start of the run that needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out += text.substr(plain, i - plain);
    plain = i + 1;
    constexpr std::string_view kValues = "\"\\\n\r\t\b\f";
    constexpr std::string_view kNames = "\"\\nrtbf";
    const size_t index = kValues.find(text[i]);
    if (index != std::string_view::npos) {
      out += '\\';
      out += kNames[index];
    } else {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  out += text.substr(plain);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  append_json_escaped(out, text);
  out += '"';
  return out;
}

std::optional<std::string> rewrite_json(std::string_view text) { return JsonRewriter(text).run(); }

}  // namespace m2::chat
