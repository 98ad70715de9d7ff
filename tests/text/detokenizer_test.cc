#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "m2/tokenizer.h"
#include "small_tokenizer.h"

namespace m2 {
namespace {

class DetokenizerTest : public testing::Test {
 protected:
  Tokenizer tokenizer_ = Tokenizer::from_json(test::small_tokenizer_json().dump());

  // Text of the chunks; ids below 256 are bytes.
  std::vector<std::string> chunks(const std::vector<TokenId>& ids, bool skip = false) const {
    Detokenizer detokenizer(tokenizer_, skip);
    std::vector<std::string> list;
    for (const TokenId id : ids) list.push_back(detokenizer.push(id));
    list.push_back(detokenizer.flush());
    return list;
  }
};

using Chunks = std::vector<std::string>;

TEST_F(DetokenizerTest, HoldsAnIncompleteCodePoint) {
  EXPECT_EQ(chunks({0x61, 0xF0, 0x9F, 0x98, 0x80, 0x62}),
            (Chunks{"a", "", "", "", "\U0001F600", "b", ""}));
}

TEST_F(DetokenizerTest, ReplacesBytesThatCannotBecomeValidAtOnce) {
  EXPECT_EQ(chunks({0xF0, 0x9F, 0x61}), (Chunks{"", "", "\uFFFDa", ""}));
  EXPECT_EQ(chunks({0xFF, 0x80}), (Chunks{"\uFFFD", "\uFFFD", ""}));
  EXPECT_EQ(chunks({0xED, 0xA0}), (Chunks{"", "\uFFFD\uFFFD", ""}));
}

TEST_F(DetokenizerTest, FlushesOneReplacementForTheRest) {
  EXPECT_EQ(chunks({0xF0, 0x9F, 0x98}), (Chunks{"", "", "", "\uFFFD"}));
}

TEST_F(DetokenizerTest, SkippedAndUnknownIdsAddNothing) {
  EXPECT_EQ(chunks({0x68, 300, 999, 302, 0x69}, /*skip=*/true),
            (Chunks{"h", "", "", "<think>", "i", ""}));
  EXPECT_EQ(chunks({300, -1}), (Chunks{"]~b]", "", ""}));
}

TEST_F(DetokenizerTest, StreamingEqualsBatchForRandomBytes) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> ids;
    for (int i = 0; i < 10; ++i) {
      const int kind = static_cast<int>(random() % 4);
      const int byte = kind == 0   ? 0xE0 + static_cast<int>(random() % 32)
                       : kind == 1 ? static_cast<int>(random() % 310)
                                   : 0x80 + static_cast<int>(random() % 64);
      ids.push_back(byte);
    }
    std::string streamed;
    for (const std::string& chunk : chunks(ids)) {
      ASSERT_TRUE(utf8::is_valid(chunk));
      streamed += chunk;
    }
    ASSERT_EQ(streamed, tokenizer_.decode(ids));
  }
}

}  // namespace
}  // namespace m2
