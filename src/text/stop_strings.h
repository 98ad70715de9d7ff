// Finds stop strings in generated text that comes in pieces.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

enum class StopStringOutput { kExclude, kInclude };

// The match that begins first wins, and of those the string that was given first. Text that may
// become a part of the match is held back. All results are the same however the text is cut up:
// where a later or lower-ranking string is complete but a better one can still become so, the
// matcher waits. Time per byte is proportional to the number of strings, not to their length.
class StopStringMatcher {
 public:
  // Throws kInvalidArgument for an empty stop string.
  explicit StopStringMatcher(std::span<const std::string> stop_strings,
                             StopStringOutput output = StopStringOutput::kExclude);

  // Adds text; returns what can be given out. After a match, text is ignored.
  [[nodiscard]] std::string push(std::string_view text);

  // At the end of the text: decides with what there is and returns the rest that can be given out.
  [[nodiscard]] std::string finish();

  // Index of the stop string that ended the text.
  [[nodiscard]] std::optional<size_t> matched() const { return matched_; }

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // Knuth-Morris-Pratt: by length, longest proper border
    size_t length = 0;             // longest prefix of `text` that the input ends with
    std::optional<size_t> found;   // where in the input its first match begins
  };

  static void advance(Pattern& pattern, char c, size_t position);
  // The best of the matches so far; with `only_final`, nothing if a better one may still come.
  [[nodiscard]] std::optional<size_t> best_match(bool only_final) const;
  [[nodiscard]] std::string stop(size_t index);
  [[nodiscard]] std::string release(size_t end);

  std::vector<Pattern> patterns_;
  StopStringOutput output_;
  std::string held_;     // input from released_ on
  size_t released_ = 0;  // bytes of the input given out
  size_t consumed_ = 0;  // bytes of the input seen
  std::optional<size_t> matched_;
};

}  // namespace m2
