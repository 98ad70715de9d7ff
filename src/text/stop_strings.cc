#include "text/stop_strings.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {

StopStringMatcher::StopStringMatcher(std::span<const std::string> stop_strings,
                                     StopStringOutput output)
    : output_(output) {
  for (const std::string& text : stop_strings) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, !text.empty(), "stop strings: one is empty");
    Pattern& pattern = patterns_.emplace_back();
    pattern.text = text;
    pattern.fallback.assign(text.size() + 1, 0);
    for (size_t i = 1, border = 0; i < text.size(); ++i) {
      while (border > 0 && text[i] != text[border]) border = pattern.fallback[border];
      if (text[i] == text[border]) ++border;
      pattern.fallback[i + 1] = border;
    }
  }
}

void StopStringMatcher::advance(Pattern& pattern, char c, size_t position) {
  if (pattern.found) return;
  while (pattern.length > 0 && pattern.text[pattern.length] != c) {
    pattern.length = pattern.fallback[pattern.length];
  }
  if (pattern.text[pattern.length] == c) ++pattern.length;
  if (pattern.length == pattern.text.size()) {
    pattern.found = position + 1 - pattern.length;
    pattern.length = 0;
  }
}

std::optional<size_t> StopStringMatcher::best_match(bool only_final) const {
  std::optional<size_t> best;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    if (patterns_[i].found && (!best || *patterns_[i].found < *patterns_[*best].found)) best = i;
  }
  if (!best || !only_final) return best;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const Pattern& rival = patterns_[i];
    if (rival.found) continue;
    const std::pair rival_rank(consumed_ - rival.length, i);
    if (rival.length > 0 && rival_rank < std::pair(*patterns_[*best].found, *best)) {
      return std::nullopt;
    }
  }
  return best;
}

std::string StopStringMatcher::push(std::string_view text) {
  if (matched_) return {};
  for (const char c : text) {
    held_.push_back(c);
    for (Pattern& pattern : patterns_) advance(pattern, c, consumed_);
    ++consumed_;
    if (const auto match = best_match(/*only_final=*/true)) return stop(*match);
  }
  size_t end = consumed_;
  for (const Pattern& pattern : patterns_) {
    end = std::min(end, pattern.found.value_or(consumed_ - pattern.length));
  }
  return release(end);
}

std::string StopStringMatcher::finish() {
  if (matched_) return {};
  if (const auto match = best_match(/*only_final=*/false)) return stop(*match);
  return release(consumed_);
}

std::string StopStringMatcher::stop(size_t index) {
  matched_ = index;
  const Pattern& pattern = patterns_[index];
  const size_t length = output_ == StopStringOutput::kInclude ? pattern.text.size() : 0;
  std::string text = release(*pattern.found + length);
  held_.clear();
  return text;
}

std::string StopStringMatcher::release(size_t end) {
  std::string text = held_.substr(0, end - released_);
  held_.erase(0, end - released_);
  released_ = end;
  return text;
}

}  // namespace m2
