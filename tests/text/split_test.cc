#include "text/split.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace m2 {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(SplitPattern pattern, const std::string& text) {
  Pieces pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = piece_end(pattern, text, begin);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

struct Case {
  std::string text;
  Pieces pieces;
};

TEST(SplitO200k, Pieces) {
  const Case cases[] = {
      {"", {}},
      {"\u0301A!", {"\u0301", "A", "!"}},
      {"中AB!", {"中", "AB", "!"}},
      {"A中B", {"A中", "B"}},
      {"A中's", {"A中's"}},
      {"ABCdEF", {"ABCd", "EF"}},
      {"camelCase", {"camel", "Case"}},
      {"HTMLParser", {"HTMLParser"}},
      {"aǅ", {"a", "ǅ"}},
      {"'llama", {"'llama"}},
      {"!\u0301", {"!\u0301"}},
      {"!!\u0301", {"!!\u0301"}},
      {"!\n//\n/x", {"!\n//\n/", "x"}},
      {"a/b", {"a", "/b"}},
      {" 123", {" ", "123"}},
      {"\tword", {"\tword"}},
      {"\nword", {"\n", "word"}},
      {"  a", {" ", " a"}},
      {"x  ", {"x", "  "}},
      {"\t!", {"\t", "!"}},
      {"it'sx", {"it's", "x"}},
      {"they'r", {"they", "'r"}},
      {"1's", {"1", "'s"}},
      {"WE'LL", {"WE'LL"}},
      {"we'\u017fx", {"we'\u017f", "x"}},
      {"12345", {"123", "45"}},
      {"12\u0665\u0665", {"12\u0665", "\u0665"}},
      {" \n \nx", {" \n \n", "x"}},
      {" \n  x", {" \n", " ", " x"}},
      {"a\u200bb", {"a", "\u200bb"}},
      {"naïve", {"naïve"}},
      {"   \u3000x", {"   ", "\u3000x"}},
  };
  for (const Case& c : cases) EXPECT_EQ(split(SplitPattern::kO200k, c.text), c.pieces) << c.text;
}

TEST(SplitGpt2, Pieces) {
  const Case cases[] = {
      {"it's THEY'RE", {"it", "'s", " THEY", "'", "RE"}},
      {"a 12345  x", {"a", " 12345", " ", " x"}},
      {"x\n\ny  ", {"x", "\n", "\n", "y", "  "}},
      {"e\u0301!", {"e", "\u0301!"}},
      {"\u3000x", {"\u3000", "x"}},
  };
  for (const Case& c : cases) EXPECT_EQ(split(SplitPattern::kGpt2, c.text), c.pieces) << c.text;
}

TEST(Split, OnlyTheExactPatternsAreKnown) {
  EXPECT_FALSE(split_pattern_of_regex("").has_value());
  EXPECT_FALSE(split_pattern_of_regex(R"(\p{N}{1,3})").has_value());
  EXPECT_EQ(split_pattern_of_regex(
                R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"),
            SplitPattern::kGpt2);
}

}  // namespace
}  // namespace m2
