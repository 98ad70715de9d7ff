// The text of one encode call as well-formed UTF-8, with the way back to the text as given.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"

namespace m2 {

class SourceText {
 public:
  // Keeps a view of the input when it is well-formed, else a repaired copy. Throws kInvalidArgument
  // when an untrusted span is not within the text, kResourceExhausted above 4 GiB.
  explicit SourceText(const TextInput& input);
  SourceText(const SourceText&) = delete;
  SourceText& operator=(const SourceText&) = delete;

  [[nodiscard]] std::string_view text() const { return text_; }

  // Bytes of text(); ascending, disjoint, not empty.
  [[nodiscard]] std::span<const TextRange> untrusted() const { return untrusted_; }

  // Turns byte ranges of text(), which begin and end at code points, into offsets in the input.
  void to_offsets(std::span<TextRange> ranges, OffsetUnit unit) const;

 private:
  void repair(std::string_view input);
  void set_untrusted(std::span<const TextRange> untrusted, size_t input_size);

  std::string repaired_;
  std::string_view text_;
  std::vector<uint32_t> origin_;  // by byte of repaired_, plus the end: byte of the input
  std::vector<TextRange> untrusted_;
};

}  // namespace m2
