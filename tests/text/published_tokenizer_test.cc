// Published facts about the tokenizer of MiniMax-M2; skipped where its file is absent.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "m2/tokenizer.h"
#include "support/paths.h"

namespace m2 {
namespace {

using Ids = std::vector<TokenId>;

class PublishedTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    const auto path = test::external_data("minimax-m2/tokenizer.json");
    if (!path) GTEST_SKIP() << "the published tokenizer.json is not here";
    static const Tokenizer loaded = Tokenizer::from_file(*path);
    tokenizer_ = loaded;
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::optional<Tokenizer> tokenizer_;
};

struct Vector {
  std::string text;
  Ids ids;
};

std::vector<Vector> vectors() {
  using namespace std::string_literals;
  return {
      {"", {}},
      {"Hello world", {19739, 2035}},
      {"The quick brown fox jumps over the lazy dog.",
       {758, 4729, 15801, 62222, 58841, 1049, 275, 34810, 6787, 46}},
      {"Cafe\u0301 \u212b", {67, 154797, 74535}},
      {"]~!b[]~b]system\nYou are a helpful assistant.[e~[\n]~b]user\nHi[e~[\n]~b]ai\n<think>\n",
       {200034, 200019, 28463, 10,    2985,   457, 258,    12473, 23413, 46,     200020, 10,
        200019, 3995,   10,    22700, 200020, 10,  200019, 1361,  10,    200050, 10}},
      {"\n\n</think>\n\n<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter "
       "name=\"city\">San Francisco</parameter>\n</invoke>\n</minimax:tool_call>[e~[",
       {367,   200051, 367,   200052, 10,    60,    88638, 1925,   1139,  848,
        95,    51872,  6143,  60,     24662, 1925,  1139,  44044,  3361,  31735,
        12918, 1579,   24662, 1100,   1579,  88638, 1100,  200053, 200020}},
      {"don't DON'T I'M it'sx they'r 'llama 1's we'\u017f",
       {84464, 197932, 2586, 77, 3433, 120, 784, 162734, 722, 826, 2185, 32, 49, 692, 563, 39,
        158967}},
      {"1234567 ٣٤٥ ①② 3.14 1,000",
       {10010, 26551, 55, 32, 128970, 142956, 136479, 32, 138954, 32, 51, 46, 1340, 32, 49, 44,
        1450}},
      {"a  b   c    \n  \n\t\tx  ", {97, 32, 287, 256, 270, 7671, 4315, 9, 63296, 256}},
      {"你好，世界！ 가나다 👨‍👩‍👧",
       {56658, 69511, 1275, 6496, 186324, 57528, 168, 61587, 44026, 169, 61587, 44026, 167}},
      {"a/b !\n/ !\n//\n/x path/to/file.txt",
       {97, 9996, 9474, 47, 9474, 48009, 47, 120, 3483, 60203, 63962, 18937}},
      {"\u0301A! 中AB! A中B ʰA aǅ",
       {21213, 65, 33, 17645, 4420, 33, 345, 700, 66, 32, 202, 176, 65, 258, 199, 133}},
      {"<think> </think><think></think> < think> <Think> <thinking>",
       {200050, 32, 200051, 200050, 200051, 877, 1817, 62, 877, 38460, 62, 877, 85255, 62}},
      {"]~b] ]~b]user ]~b] user [e~[[e~[ [e ~[",
       {200019, 32, 200019, 3995, 32, 200019, 3100, 32, 200020, 200020, 791, 101, 9891, 91}},
      {"x]<]start of speech[>[y", {120, 200027, 121}},
      {"\0\u0001\u007f\u0085\u00a0\u2028\u3000|"s,
       {0, 1, 127, 194, 133, 1330, 310, 168, 3466, 124}},
      {"\u1e9b\u0323 \ufb01 \uff21", {20121, 155, 166616, 67415, 32, 24630}},
      {"\u0958 \u2adc", {17401, 87992, 3104, 171, 157, 204, 184}},
      {"HTMLParser camelCase ABCdEF IDs", {26132, 17980, 94195, 11766, 31265, 100, 13084, 57438}},
      {"\r\n\r\n  \r\nx\r\n", {9871, 64720, 120, 2535}},
      {"            return x", {591, 1126, 1905}},
      {"\t\t\treturn x;", {676, 3494, 1905, 59}},
      {"def f(x):\n\treturn x**2  # 平方\n",
       {2601, 284, 4704, 3345, 3494, 1905, 705, 50, 32, 1621, 32, 19525, 10}},
      {"<minimax:tool_call", {60, 1648, 167360, 58, 45382, 50025}},
      {"🚀", {150333}},
      {"🎉", {97304, 137}},
      {"-M", {5145}},
      {"[PAD200063]", {91, 115375, 866, 51821, 93}},
      {std::string(100, 'a'), {175863, 175863, 175863, 175863, 175863, 175863, 40794}},
      {"!\u0085!", {33, 194, 133, 33}},
      {"!\u200b!", {33, 16348, 33}},
      {"!\r!", {33, 13, 33}},
      {"1²٥Ⅷ〇", {49, 21038, 136479, 29437, 167, 40681}},
  };
}

TEST_F(PublishedTokenizer, KnownVectors) {
  for (const Vector& vector : vectors()) {
    EXPECT_EQ(tokenizer().encode_ids(vector.text), vector.ids) << vector.text;
    EXPECT_EQ(tokenizer().encode(vector.text).ids, vector.ids) << vector.text;
  }
}

TEST_F(PublishedTokenizer, Vocabulary) {
  EXPECT_EQ(tokenizer().vocab_size(), 200054U);
  EXPECT_EQ(tokenizer().vocab_size(/*with_added=*/false), 200000U);
  EXPECT_EQ(tokenizer().id_limit(), 200054U);
  EXPECT_EQ(tokenizer().added_tokens().size(), 54U);
  EXPECT_EQ(tokenizer().token_to_id("]~b]"), 200019);
  EXPECT_EQ(tokenizer().token_to_id("\u0120\u0120"), 256);
  EXPECT_EQ(tokenizer().token_to_id("  "), std::nullopt);
  EXPECT_EQ(tokenizer().id_to_token(256), "\u0120\u0120");
  EXPECT_EQ(tokenizer().id_to_token(200053), "</minimax:tool_call>");
  EXPECT_EQ(tokenizer().token_bytes(256), "  ");
  for (const TokenId id : {200054, 200063, -1}) {
    EXPECT_EQ(tokenizer().id_to_token(id), std::nullopt);
    EXPECT_EQ(tokenizer().token_bytes(id), "");
  }
  for (TokenId id = 0; id < 256; ++id) {
    EXPECT_EQ(tokenizer().token_bytes(id), std::string(1, static_cast<char>(id)));
  }
  EXPECT_TRUE(tokenizer().is_special(200049));
  EXPECT_FALSE(tokenizer().is_special(200050));
  EXPECT_FALSE(tokenizer().is_special(97));
}

// Merging the bytes of any token gives that token back, as the file promises.
TEST_F(PublishedTokenizer, EveryTokenIsItsOwnEncoding) {
  for (TokenId id = 0; id < 200000; ++id) {
    const std::string token = *tokenizer().id_to_token(id);
    ASSERT_EQ(tokenizer().token_to_id(token), id);
  }
}

TEST_F(PublishedTokenizer, DecodeVectors) {
  const Ids ids = {200034, 72, 200050, 97, 200020, 200060};
  EXPECT_EQ(tokenizer().decode(ids, {.skip_special_tokens = true}), "H<think>a");
  EXPECT_EQ(tokenizer().decode(ids), "]~!b[H<think>a[e~[");
  EXPECT_EQ(tokenizer().decode(Ids{240, 159, 152}), "\uFFFD");
  EXPECT_EQ(tokenizer().decode(Ids{67, 154797, 74535}), "Café Å");
  EXPECT_EQ(tokenizer().decode(tokenizer().encode_ids("\u0958 \u2adc")),
            "\u0915\u093c \u2add\u0338");
}

TEST_F(PublishedTokenizer, Offsets) {
  const auto offsets = [&](const char* text) { return tokenizer().encode(text).offsets; };
  using Ranges = std::vector<TextRange>;
  EXPECT_EQ(offsets("one two"), (Ranges{{0, 3}, {3, 7}}));
  EXPECT_EQ(offsets("a🦩b"), (Ranges{{0, 1}, {1, 2}, {1, 2}, {2, 3}}));
  EXPECT_EQ(offsets("Cafe\u0301 \u212b"), (Ranges{{0, 1}, {1, 4}, {5, 7}}));
}

TEST_F(PublishedTokenizer, TruncationVectors) {
  const auto encode = [&](Truncation truncation) {
    EncodeOptions options;
    options.truncation = truncation;
    const Encoding encoding = tokenizer().encode("one two three four five six", options);
    EXPECT_EQ(encoding.overflowing.size(), 1U);
    return std::pair(encoding.ids, encoding.overflowing.at(0).ids);
  };
  const Ids head = {703, 1451, 2566, 3653};
  const Ids tail = {2566, 3653, 5231, 5764};
  EXPECT_EQ(encode({.max_length = 4}), std::pair(head, Ids({5231, 5764})));
  EXPECT_EQ(encode({.max_length = 4, .stride = 1}), std::pair(head, Ids({3653, 5231, 5764})));
  EXPECT_EQ(encode({.max_length = 4, .side = Side::kLeft}), std::pair(tail, Ids({703, 1451})));
  EXPECT_EQ(encode({.max_length = 4, .stride = 2, .side = Side::kLeft}),
            std::pair(tail, Ids({703, 1451, 2566, 3653})));
}

TEST_F(PublishedTokenizer, PaddingVector) {
  const std::vector<TextInput> texts = {"a", "one two three", ""};
  EncodeOptions options;
  options.padding = Padding{.side = Side::kLeft, .id = 200020};
  const std::vector<Encoding> batch = tokenizer().encode_batch(texts, options);
  EXPECT_EQ(batch[0].ids, Ids({200020, 200020, 97}));
  EXPECT_EQ(batch[1].ids, Ids({703, 1451, 2566}));
  EXPECT_EQ(batch[2].ids, Ids({200020, 200020, 200020}));
  EXPECT_EQ(batch[0].sequence_ids, (std::vector<int32_t>{kNoIndex, kNoIndex, 0}));
}

// A quadratic merge would take hours here.
TEST_F(PublishedTokenizer, LongPieces) {
  const std::string letters(1000000, 'a');
  EXPECT_EQ(tokenizer().encode_ids(letters).size(), 62500U);
  std::string mixed;
  for (std::int64_t i = 0; i < 300000; ++i) mixed += static_cast<char>('a' + i * i % 26);
  EXPECT_EQ(tokenizer().decode(tokenizer().encode_ids(mixed)), mixed);
  const std::string spaces(500000, ' ');
  EXPECT_EQ(tokenizer().decode(tokenizer().encode_ids(spaces + "x")), spaces + "x");
}

TEST_F(PublishedTokenizer, ThreadsShareOneTokenizer) {
  // A fresh one, so that the threads meet tokens that were never looked up.
  const Tokenizer fresh = Tokenizer::from_file(*test::external_data("minimax-m2/tokenizer.json"));
  std::vector<Ids> results(8);
  {
    std::vector<std::jthread> threads;
    for (Ids& result : results) {
      threads.emplace_back([&] {
        for (const Vector& vector : vectors()) {
          const Ids ids = fresh.encode_ids(vector.text);
          result.insert(result.end(), ids.begin(), ids.end());
        }
      });
    }
  }
  Ids expected;
  for (const Vector& vector : vectors()) {
    expected.insert(expected.end(), vector.ids.begin(), vector.ids.end());
  }
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace m2
