// Immutable text that remembers which of its bytes came from untrusted input.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace m2::jinja {

/// Half-open range of bytes.
struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// Whether text may be read as control text (template, server) or only as content (a client's).
enum class Trust { kTrusted, kUntrusted };

/// Valid UTF-8 text with Python's view of it as a sequence of code points. Copies share the
/// bytes, so passing a prompt of a megabyte around costs a reference count.
///
/// `untrusted()` are sorted, disjoint, non-empty, non-adjacent ranges. `is_markup()` is the mark of
/// text that went through `safe` or `escape`: joining it with `+` escapes the other side, as
/// Jinja2 does also when automatic escaping is off.
class Str {
 public:
  Str() = default;
  explicit Str(std::string text, Trust trust = Trust::kTrusted);
  Str(std::string text, std::vector<ByteRange> untrusted);

  [[nodiscard]] std::string_view view() const;
  [[nodiscard]] size_t size() const { return view().size(); }  // bytes
  [[nodiscard]] bool empty() const { return data_ == nullptr; }
  [[nodiscard]] size_t length() const;  // code points
  [[nodiscard]] bool is_ascii() const { return length() == size(); }

  [[nodiscard]] const std::vector<ByteRange>& untrusted() const;
  [[nodiscard]] bool is_markup() const { return markup_; }
  [[nodiscard]] Str as_markup(bool markup = true) const;
  [[nodiscard]] Trust trust_of(size_t begin, size_t end) const;

  /// Byte position of the code point `index` (0 <= index <= length()); constant time after a
  /// first linear one.
  [[nodiscard]] size_t byte_offset(size_t index) const;

  /// The bytes [begin, end), which must lie on code point borders.
  [[nodiscard]] Str substr(size_t begin, size_t end) const;
  [[nodiscard]] Str substr(size_t begin) const { return substr(begin, size()); }

  friend bool operator==(const Str& text, std::string_view other) { return text.view() == other; }

  /// `text` made from this string in a way that keeps no positions: wholly untrusted when any
  /// byte of this string is. Keeps the markup mark.
  [[nodiscard]] Str derive(std::string text) const;

 private:
  struct Data;

  std::shared_ptr<const Data> data_;  // null: empty
  bool markup_ = false;
};

/// Appends text and keeps the ranges sorted and merged. Throws kResourceExhausted when the text
/// would grow beyond the limit.
class StrBuilder {
 public:
  explicit StrBuilder(size_t max_bytes = std::numeric_limits<size_t>::max())
      : max_bytes_(max_bytes) {}

  void append(std::string_view text, Trust trust = Trust::kTrusted);
  void append(char c) { append(std::string_view(&c, 1)); }
  void append(const Str& text) { append(text, 0, text.size()); }
  void append(const Str& text, size_t begin, size_t end);
  void append_repeated(const Str& text, size_t count);
  /// What stands for the bytes [begin, end) of `source`: untrusted when any of them is.
  void append_instead(const Str& source, size_t begin, size_t end, std::string_view text);
  [[nodiscard]] size_t size() const { return text_.size(); }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] Str take();

 private:
  void mark(size_t begin, size_t end);

  size_t max_bytes_;
  std::string text_;
  std::vector<ByteRange> untrusted_;
};

}  // namespace m2::jinja
