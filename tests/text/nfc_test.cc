#include "text/nfc.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace m2 {
namespace {

TEST(Nfc, Composes) {
  const std::pair<std::string, std::string> cases[] = {
      {"plain", "plain"},
      {"e\u0301", "\u00e9"},
      {"\u212b", "\u00c5"},
      {"\u1e9b\u0323", "\u1e9b\u0323"},
      {"a\u0302\u0323", "\u1ead"},        // reordered, then composed
      {"a\u0301\u0301", "\u00e1\u0301"},  // the second is blocked
      {"\u0958", "\u0915\u093c"},         // excluded from composition
      {"\u1112\u1161\u11ab", "\ud55c"},   // Hangul
      {"\uac00\u11a8", "\uac01"},
      {"\uac00\u11a7", "\uac00\u11a7"},                  // no trailing consonant
      {"\U00011935\U00011930", "\U00011935\U00011930"},  // Unicode 13: not in the tables
      {"\u0344", "\u0308\u0301"},
      {"x\u0315\u0300\u05ae\u0301b", "x\u05ae\u0300\u0301\u0315b"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(to_nfc(text), expected) << text;
    EXPECT_EQ(to_nfc(expected), expected) << text;
    EXPECT_TRUE(text == expected || !is_certainly_nfc(text)) << text;
  }
}

TEST(Nfc, AlignsByPosition) {
  std::vector<SourceRange> alignment;
  const auto ranges = [&] {
    std::vector<std::pair<uint32_t, uint32_t>> list;
    for (const SourceRange& range : alignment) list.emplace_back(range.begin, range.end);
    return list;
  };
  using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;
  // e + acute: the composed character takes the range of the e; x follows the acute.
  EXPECT_EQ(to_nfc("e\u0301x", alignment), "\u00e9x");
  EXPECT_EQ(ranges(), (Ranges{{0, 1}, {0, 1}, {3, 4}}));
  // One code point becomes two, which share its range.
  EXPECT_EQ(to_nfc("a\u0958", alignment), "a\u0915\u093c");
  EXPECT_EQ(ranges(), (Ranges{{0, 1}, {1, 4}, {1, 4}, {1, 4}, {1, 4}, {1, 4}, {1, 4}}));
  // Reordered marks do not take their ranges with them.
  EXPECT_EQ(to_nfc("q\u0307\u0323", alignment), "q\u0323\u0307");
  EXPECT_EQ(ranges(), (Ranges{{0, 1}, {1, 3}, {1, 3}, {3, 5}, {3, 5}}));
}

}  // namespace
}  // namespace m2
