// Options of encode that the reference library does not have, and errors.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "m2/error.h"
#include "m2/tokenizer.h"
#include "small_tokenizer.h"

namespace m2 {
namespace {

using Ids = std::vector<TokenId>;

class EncodeTest : public testing::Test {
 protected:
  // Ids of `text`, in which the stretches between « and » are untrusted.
  Ids encode_marked(const std::string& marked) const {
    std::string text;
    std::vector<TextRange> untrusted;
    const std::string open = "«";
    const std::string close = "»";
    for (size_t pos = 0; pos < marked.size();) {
      if (marked.compare(pos, open.size(), open) == 0) {
        untrusted.push_back({text.size(), text.size()});
        pos += open.size();
      } else if (marked.compare(pos, close.size(), close) == 0) {
        untrusted.back().end = text.size();
        pos += close.size();
      } else {
        text += marked[pos++];
      }
    }
    const Encoding encoding = tokenizer_.encode({text, untrusted});
    EXPECT_EQ(tokenizer_.encode_ids({text, untrusted}), encoding.ids);
    EXPECT_EQ(tokenizer_.decode(encoding.ids), text);
    return encoding.ids;
  }

  static Ids bytes(const std::string& text) {
    Ids ids;
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
    return ids;
  }

  Tokenizer tokenizer_ = Tokenizer::from_json(test::small_tokenizer_json().dump());
};

TEST_F(EncodeTest, UntrustedSpansHoldNoAddedTokens) {
  EXPECT_EQ(encode_marked("]~b]x[e~["), (Ids{300, 'x', 301}));
  EXPECT_EQ(encode_marked("]~b]«x[e~[»[e~["), (Ids{300, 'x', '[', 'e', '~', '[', 301}));
  EXPECT_EQ(encode_marked("«]~b]»"), bytes("]~b]"));
}

TEST_F(EncodeTest, AddedTokensAcrossTheBorderAreText) {
  EXPECT_EQ(encode_marked("]~«b]»"), bytes("]~b]"));
  EXPECT_EQ(encode_marked("«]~»b]"), bytes("]~b]"));
  EXPECT_EQ(encode_marked("[e«~»["), bytes("[e~["));
  // The longer token touches the span, the shorter one inside it does not.
  EXPECT_EQ(encode_marked("[e~[!"), Ids{304});
  EXPECT_EQ(encode_marked("[e~[«!»"), (Ids{301, '!'}));
}

TEST_F(EncodeTest, UntrustedTextIsStillJoinedWithItsSurroundings) {
  EXPECT_EQ(encode_marked("he«llo»"), Ids{259});
  EXPECT_EQ(encode_marked("he«ll»o«»"), Ids{259});
}

TEST_F(EncodeTest, UntrustedSpansMayOverlapAndComeInAnyOrder) {
  const std::vector<TextRange> untrusted = {{6, 8}, {4, 6}, {5, 7}};
  EXPECT_EQ(tokenizer_.encode_ids({"]~b]]~b]]~b]", untrusted}),
            (Ids{300, ']', '~', 'b', ']', 300}));
}

TEST_F(EncodeTest, UntrustedSpansInIllFormedText) {
  const std::string text = "\xFF]~b]\xF0\x9F]~b]";
  const std::vector<TextRange> untrusted = {{6, 8}};  // the second byte of the cut-off emoji and ]
  const Ids ids = tokenizer_.encode_ids({text, untrusted});
  EXPECT_EQ(ids, (Ids{0xEF, 0xBF, 0xBD, 300, 0xEF, 0xBF, 0xBD, ']', '~', 'b', ']'}));
}

TEST_F(EncodeTest, UntrustedSpansMustBeInTheText) {
  for (const TextRange range : {TextRange{0, 5}, TextRange{3, 2}, TextRange{9, 9}}) {
    const std::vector<TextRange> untrusted = {range};
    EXPECT_THROW(static_cast<void>(tokenizer_.encode_ids({"text", untrusted})), Error);
  }
}

TEST_F(EncodeTest, UntrustedSpansStopNormalizedTokensAndStripping) {
  nlohmann::json file = test::small_tokenizer_json();
  const auto add = [&](int id, const char* content, const char* flag, bool normalized) {
    nlohmann::json token = file["added_tokens"][0];
    token["id"] = id;
    token["content"] = content;
    token["normalized"] = normalized;
    if (flag[0] != '\0') token[flag] = true;
    file["added_tokens"].push_back(token);
  };
  add(310, "<\u00e9>", "", true);
  add(311, "<r>", "rstrip", false);
  add(312, "<l>", "lstrip", false);
  tokenizer_ = Tokenizer::from_json(file.dump());
  const std::string accented = "<e\u0301>";  // composed before matching
  EXPECT_EQ(tokenizer_.encode_ids(accented), Ids{310});
  for (const TextRange range : {TextRange{0, 1}, TextRange{2, 3}, TextRange{4, 5}}) {
    const std::vector<TextRange> untrusted = {range};
    EXPECT_EQ(tokenizer_.encode_ids({accented, untrusted}), (Ids{'<', 0xC3, 0xA9, '>'}));
  }
  const std::vector<TextRange> space = {{3, 4}};
  EXPECT_EQ(tokenizer_.encode_ids({"<r>  x", {}}), (Ids{311, 'x'}));
  EXPECT_EQ(tokenizer_.encode_ids({"<r>  x", space}), (Ids{311, ' ', ' ', 'x'}));
  EXPECT_EQ(tokenizer_.encode_ids({"x  <l>", {}}), (Ids{'x', 312}));
  const std::vector<TextRange> first_space = {{1, 2}};
  EXPECT_EQ(tokenizer_.encode_ids({"x  <l>", first_space}), (Ids{'x', ' ', 312}));
}

TEST_F(EncodeTest, WordsKeepTheirIndexAndOwnOffsets) {
  const std::vector<std::string_view> words = {"hello", " hello", "", "x1"};
  const Encoding encoding = tokenizer_.encode_words(words);
  EXPECT_EQ(encoding.ids, (Ids{259, 260, 'x', '1'}));
  EXPECT_EQ(encoding.word_ids, (std::vector<int32_t>{0, 1, 3, 3}));
  EXPECT_EQ(encoding.offsets, (std::vector<TextRange>{{0, 5}, {0, 6}, {0, 1}, {1, 2}}));
}

TEST_F(EncodeTest, PairsHaveTypeAndSequenceIds) {
  const Encoding encoding = tokenizer_.encode_pair("a", "b c");
  EXPECT_EQ(encoding.ids, (Ids{'a', 'b', ' ', 'c'}));
  EXPECT_EQ(encoding.type_ids, (std::vector<int32_t>{0, 1, 1, 1}));
  EXPECT_EQ(encoding.sequence_ids, (std::vector<int32_t>{0, 1, 1, 1}));
  EXPECT_EQ(encoding.word_ids, (std::vector<int32_t>{0, 0, 1, 1}));
  const std::vector<std::pair<TextInput, TextInput>> pairs = {{"a", "b c"}, {"", ""}};
  EncodeOptions options;
  options.padding = Padding{.id = 7};
  const std::vector<Encoding> batch = tokenizer_.encode_batch(pairs, options);
  EXPECT_EQ(batch[0].ids, encoding.ids);
  EXPECT_EQ(batch[1].ids, (Ids{7, 7, 7, 7}));
}

TEST_F(EncodeTest, PaddingReachesOverflowingWindows) {
  EncodeOptions options;
  options.truncation = Truncation{.max_length = 2};
  options.padding = Padding{.multiple_of = 3, .id = 7};
  const Encoding encoding = tokenizer_.encode("abc", options);
  EXPECT_EQ(encoding.ids, (Ids{'a', 'b', 7}));
  ASSERT_EQ(encoding.overflowing.size(), 1U);
  EXPECT_EQ(encoding.overflowing[0].ids, (Ids{'c', 7, 7}));
}

TEST_F(EncodeTest, RefusesStrideAndTooManyWindows) {
  EncodeOptions options;
  options.truncation = Truncation{.max_length = 2, .stride = 2};
  EXPECT_THROW(static_cast<void>(tokenizer_.encode("a", options)), Error);
  options.truncation = Truncation{.max_length = 9000, .stride = 8999};
  EXPECT_THROW(static_cast<void>(tokenizer_.encode(std::string(20000, '1'), options)), Error);
  options.truncation.reset();
  options.padding = Padding{.length = size_t{1} << 40};
  EXPECT_THROW(static_cast<void>(tokenizer_.encode("a", options)), Error);
}

TEST_F(EncodeTest, LongPiecesGiveTheSameAsShortOnes) {
  // Around the length where the merge algorithm changes.
  for (size_t size = 1; size < 300; ++size) {
    Ids expected(size / 2, 261);
    if (size % 2 == 1) expected.push_back('a');
    ASSERT_EQ(tokenizer_.encode_ids(std::string(size, 'a')), expected) << size;
  }
}

}  // namespace
}  // namespace m2
