// Pre-tokenizer patterns: cut a text into the pieces that BPE works on.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace m2 {

// The patterns with a hand-written matcher. Each matches every text from end to end.
enum class SplitPattern {
  kO200k,  // that of MiniMax-M2
  kGpt2,   // what ByteLevel with use_regex stands for
};

// The pattern that a regular expression spells, if it is one of them, character for character.
[[nodiscard]] std::optional<SplitPattern> split_pattern_of_regex(std::string_view regex);

// The end of the piece that starts at `pos`. Requires well-formed UTF-8 and pos < text.size().
// Anchors and look-ahead see `text` only.
[[nodiscard]] size_t piece_end_o200k(std::string_view text, size_t pos);
[[nodiscard]] size_t piece_end_gpt2(std::string_view text, size_t pos);

[[nodiscard]] inline size_t piece_end(SplitPattern pattern, std::string_view text, size_t pos) {
  return pattern == SplitPattern::kO200k ? piece_end_o200k(text, pos) : piece_end_gpt2(text, pos);
}

}  // namespace m2
