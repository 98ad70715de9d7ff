// Recognises one tag of the model's output, character by character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace m2::chat {

enum class Tag : uint8_t {
  kThink,         // <think>
  kEndThink,      // </think>
  kToolCall,      // <minimax:tool_call>
  kEndToolCall,   // </minimax:tool_call>
  kInvoke,        // <invoke name="...">
  kEndInvoke,     // </invoke>
  kParameter,     // <parameter name="...">
  kEndParameter,  // </parameter>
};
inline constexpr int kNumTags = 8;

/// The tag's text; for the two headers what comes before their white space and name.
[[nodiscard]] std::string_view tag_text(Tag tag);

class TagSet {
 public:
  constexpr TagSet() = default;
  constexpr TagSet(std::initializer_list<Tag> tags) {
    for (Tag tag : tags) insert(tag);
  }
  constexpr void insert(Tag tag) { bits_ |= bit(tag); }
  constexpr void erase(Tag tag) { bits_ &= static_cast<uint8_t>(~bit(tag)); }
  [[nodiscard]] constexpr bool contains(Tag tag) const { return (bits_ & bit(tag)) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }

 private:
  static constexpr uint8_t bit(Tag tag) {
    return static_cast<uint8_t>(1U << static_cast<unsigned>(tag));
  }
  uint8_t bits_ = 0;
};

/// A header is `<kw` white space `name` blanks `=` blanks N blanks `>` with N in double quotes, in
/// single quotes (no newline inside) or bare up to white space or `>`; N is trimmed and not empty.
class TagScanner {
 public:
  enum class Status { kPending, kMatched, kFailed };

  TagScanner() : TagScanner(TagSet()) {}
  explicit TagScanner(TagSet wanted) : candidates_(wanted) {}

  /// Takes the next character of the text; not to be called again after kMatched or kFailed.
  Status feed(char c);

  /// After kMatched.
  [[nodiscard]] Tag tag() const { return tag_; }
  /// N of a header, after kMatched.
  [[nodiscard]] std::string_view name() const;

 private:
  enum class Phase { kLiteral, kSpace, kName, kEquals, kOpen, kQuoted, kBare, kClose };

  Status feed_literal(char c);
  Status feed_name_keyword(char c);
  Status open_value(char c);
  Status feed_bare(char c);
  Status close(char c);

  Phase phase_ = Phase::kLiteral;
  TagSet candidates_;
  size_t matched_ = 0;  // characters of the current keyword that were seen
  Tag tag_ = Tag::kThink;
  char quote_ = 0;
  std::string name_;
};

}  // namespace m2::chat
