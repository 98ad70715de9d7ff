#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace m2::utf8 {
namespace {

TEST(Utf8, DecodesAndAppendsEveryScalarValue) {
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string text = encode(c);
    const Decoded unit = decode(text, 0);
    ASSERT_TRUE(unit.valid) << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ(unit.code_point, c);
    ASSERT_EQ(static_cast<size_t>(unit.length), text.size());
    ASSERT_EQ(encoded_length(c), unit.length);
    ASSERT_EQ(incomplete_suffix_length(text), 0U);
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(incomplete_suffix_length(text.substr(0, cut)), cut);
    }
  }
}

TEST(Utf8, SurrogatesAndLargeValuesBecomeReplacements) {
  EXPECT_EQ(encode(0xD800), "\uFFFD");
  EXPECT_EQ(encode(0x110000), "\uFFFD");
}

struct ReplaceCase {
  std::string input;
  std::string output;
  size_t count;
};

// One U+FFFD for each maximal subpart (Unicode 3.9, tables 3-8 to 3-11).
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r = "\uFFFD";
  const ReplaceCase cases[] = {
      {"", "", 0},
      {"plain ascii, longer than eight bytes", "plain ascii, longer than eight bytes", 36},
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", r + r + r + r + r + r + r + r + "A", 9},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", r + r + r + r + r + r + r + r + "A", 9},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", r + r + r + r + r + "A" + r + r + "B", 9},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", r + r + r + r + "A", 5},
      {"12345678\xF0\x9F\x98", "12345678" + r, 9},
      {"\xF0\x9F\x98\x80\xC3", "\U0001F600" + r, 2},
  };
  for (const ReplaceCase& c : cases) {
    EXPECT_EQ(replace_invalid(c.input), c.output);
    EXPECT_EQ(count(c.input), c.count);
    EXPECT_EQ(is_valid(c.input), c.input == c.output);
    EXPECT_EQ(from_utf32(to_utf32(c.input)), c.output);
  }
}

TEST(Utf8, IncompleteSuffixIsOnlyWhatCanStillBecomeValid) {
  EXPECT_EQ(incomplete_suffix_length(""), 0U);
  EXPECT_EQ(incomplete_suffix_length("a\xF0\x9F"), 2U);
  EXPECT_EQ(incomplete_suffix_length("\xF0\x80"), 0U);      // overlong
  EXPECT_EQ(incomplete_suffix_length("\xED\xA0"), 0U);      // surrogate
  EXPECT_EQ(incomplete_suffix_length("\x80\x80\x80"), 0U);  // no lead byte
  EXPECT_EQ(incomplete_suffix_length("\xFF"), 0U);
}

}  // namespace
}  // namespace m2::utf8
