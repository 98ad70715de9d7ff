#include "text/stop_strings.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "m2/error.h"

namespace m2 {
namespace {

struct Result {
  std::string text;
  std::optional<size_t> matched;
  friend bool operator==(const Result&, const Result&) = default;
};

// What the rule says, applied to the whole text at once.
Result reference(const std::vector<std::string>& stops, const std::string& text, bool include) {
  size_t best_at = std::string::npos;
  std::optional<size_t> best;
  for (size_t i = 0; i < stops.size(); ++i) {
    const size_t at = text.find(stops[i]);
    if (at < best_at) {
      best_at = at;
      best = i;
    }
  }
  if (!best) return {text, std::nullopt};
  return {text.substr(0, best_at) + (include ? stops[*best] : ""), best};
}

Result stream(const std::vector<std::string>& stops, const std::string& text, bool include,
              const std::vector<size_t>& cuts) {
  StopStringMatcher matcher(stops,
                            include ? StopStringOutput::kInclude : StopStringOutput::kExclude);
  Result result;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    result.text += matcher.push(std::string_view(text).substr(begin, cut - begin));
    begin = cut;
  }
  result.text += matcher.push(std::string_view(text).substr(begin));
  result.text += matcher.finish();
  result.matched = matcher.matched();
  return result;
}

TEST(StopStrings, HoldsBackWhatMayBecomeAMatch) {
  const std::vector<std::string> stops = {"</s>"};
  StopStringMatcher matcher(stops);
  EXPECT_EQ(matcher.push("a<"), "a");
  EXPECT_EQ(matcher.push("/"), "");
  EXPECT_EQ(matcher.push("x<"), "</x");
  EXPECT_EQ(matcher.push("/s"), "");
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.push(">tail"), "");
  EXPECT_EQ(matcher.matched(), 0U);
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopStrings, FinishReleasesWhatIsHeld) {
  const std::vector<std::string> stops = {"stop"};
  StopStringMatcher matcher(stops);
  EXPECT_EQ(matcher.push("ab sto"), "ab ");
  EXPECT_EQ(matcher.finish(), "sto");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopStrings, EarliestPositionThenOrderWins) {
  const std::vector<size_t> no_cuts;
  // "bc" is complete first, but "abcd" begins before it.
  EXPECT_EQ(stream({"bc", "abcd"}, "xabcd", false, no_cuts), (Result{"x", 1}));
  EXPECT_EQ(stream({"bc", "abcd"}, "xabce", false, no_cuts), (Result{"xa", 0}));
  EXPECT_EQ(stream({"bc", "abcd"}, "xabc", false, no_cuts), (Result{"xa", 0}));
  EXPECT_EQ(stream({"ab", "abc"}, "xabc", true, no_cuts), (Result{"xab", 0}));
  EXPECT_EQ(stream({"abc", "ab"}, "xabc", true, no_cuts), (Result{"xabc", 0}));
  EXPECT_EQ(stream({"abc", "ab"}, "xabd", true, no_cuts), (Result{"xab", 1}));
}

TEST(StopStrings, NoStringsPassEverything) {
  EXPECT_EQ(stream({}, "text", false, {2}), (Result{"text", std::nullopt}));
}

TEST(StopStrings, RefusesAnEmptyString) {
  const std::vector<std::string> stops = {"a", ""};
  EXPECT_THROW(StopStringMatcher{stops}, Error);
}

TEST(StopStrings, EveryChunkingGivesTheSame) {
  std::mt19937 random(11);
  const auto random_text = [&](size_t min_size, size_t max_size) {
    std::string text;
    const size_t size = min_size + random() % (max_size - min_size + 1);
    for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = random() % 4; i > 0; --i) stops.push_back(random_text(1, 5));
    const std::string text = random_text(0, 14);
    const bool include = random() % 2 == 0;
    std::vector<size_t> cuts;
    for (size_t i = 1; i < text.size(); ++i) {
      if (random() % 2 == 0) cuts.push_back(i);
    }
    ASSERT_EQ(stream(stops, text, include, cuts), reference(stops, text, include))
        << text << " " << testing::PrintToString(stops);
  }
}

}  // namespace
}  // namespace m2
