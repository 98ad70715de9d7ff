#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "checkpoint/file_images.h"
#include "gguf/gguf.h"
#include "m2/tokenizer.h"
#include "support/paths.h"

namespace m2 {
namespace {

using nlohmann::json;
using test::error_of;
using test::TempDir;
using ::testing::HasSubstr;

json golden(const std::string& name) {
  return json::parse(test::read_file(test::golden_path("tokenizer/" + name)));
}

// A GGUF file with the tokenizer of a directory and nothing else.
std::filesystem::path tokenizer_file(const std::filesystem::path& directory,
                                     std::int64_t vocab_size, const TempDir& dir) {
  GgufWriter writer;
  writer.set_text("general.architecture", "minimax-m2");
  write_gguf_tokenizer(read_tokenizer_files(directory), vocab_size, writer);
  const auto path = dir.path() / "tokenizer.gguf";
  writer.write(path);
  return path;
}

void expect_golden_ids(const Tokenizer& tokenizer, const std::string& name) {
  const json texts = golden("texts.json");
  const json ids = golden(name).at("ids");
  ASSERT_EQ(texts.size(), ids.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode_ids(texts[i].get<std::string>()), ids[i].get<std::vector<TokenId>>())
        << texts[i];
  }
}

TEST(GgufTokenizer, GivesTheIdsOfTokenizerJson) {
  const TempDir dir;
  const auto path = tokenizer_file(test::shipped_model(), 2048, dir);
  expect_golden_ids(Tokenizer::from_pretrained(path), "tiny_agent.json");
}

TEST(GgufTokenizer, GivesTheIdsOfThePublishedTokenizer) {
  const auto published = test::external_data("minimax-m2");
  if (!published.has_value()) GTEST_SKIP() << "the published tokenizer is not here";
  const TempDir dir;
  const auto path = tokenizer_file(*published, 200064, dir);
  const auto tokenizer = Tokenizer::from_pretrained(path);
  EXPECT_EQ(tokenizer.id_limit(), 200054U);
  EXPECT_EQ(tokenizer.vocab_size(false), 200000U);
  expect_golden_ids(tokenizer, "minimax_m2.json");
}

// The lists of a small file.
struct Lists {
  std::string model = "gpt2";
  std::string pre = "minimax-m2";
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::uint32_t eos = 3;
};

Lists sound() {
  Lists lists;
  lists.tokens = {"a", "b", "ab", "<x>"};
  lists.types = {1, 1, 1, 3};
  lists.merges = {"a b"};
  return lists;
}

TokenizerFiles read(const Lists& lists) {
  const TempDir dir;
  GgufWriter writer;
  writer.set_text("tokenizer.ggml.model", lists.model);
  writer.set_text("tokenizer.ggml.pre", lists.pre);
  writer.set_texts("tokenizer.ggml.tokens", lists.tokens);
  writer.set_int32s("tokenizer.ggml.token_type", lists.types);
  writer.set_texts("tokenizer.ggml.merges", lists.merges);
  writer.set_uint32("tokenizer.ggml.eos_token_id", lists.eos);
  writer.write(dir.path() / "t.gguf");
  const GgufFile file(dir.path() / "t.gguf");
  return read_gguf_tokenizer(file.metadata());
}

TEST(GgufTokenizer, ReadsTokensByTheirTypes) {
  Lists lists = sound();
  lists.tokens = {"a", "b", "ab", "<x>", "<y>", "[PAD5]"};
  lists.types = {1, 1, 1, 3, 4, 5};
  const TokenizerFiles files = read(lists);
  EXPECT_TRUE(files.spec.nfc);
  EXPECT_EQ(files.config.eos_token, "<x>");
  ASSERT_EQ(files.spec.added_tokens.size(), 2U);
  EXPECT_TRUE(files.spec.added_tokens[0].special);
  EXPECT_FALSE(files.spec.added_tokens[1].special);
  EXPECT_EQ(files.spec.bpe.vocabulary().id_limit(), 5U);
  EXPECT_EQ(files.spec.bpe.merges(), (std::vector<std::pair<TokenId, TokenId>>{{0, 1}}));
}

TEST(GgufTokenizer, RefusesWhatItCannotUse) {
  const std::pair<std::function<void(Lists&)>, const char*> damages[] = {
      {[](Lists& lists) { lists.model = "none"; }, "not_found: "},
      {[](Lists& lists) { lists.model = "llama"; },
       "tokenizer.ggml.model: expected gpt2, got llama"},
      {[](Lists& lists) { lists.pre = "qwen2"; },
       "tokenizer.ggml.pre: expected minimax-m2, got qwen2"},
      {[](Lists& lists) { lists.types.pop_back(); }, "4 tokens but 3 token types"},
      {[](Lists& lists) { lists.types[3] = 6; }, "token_type[3]: type 6 is not supported"},
      {[](Lists& lists) { lists.tokens[1] = "a"; }, "corrupt_file"},
      {[](Lists& lists) { lists.merges[0] = "ab"; },
       "merges[0]: expected two tokens and a space, got \"ab\""},
      {[](Lists& lists) { lists.merges[0] = "a c"; }, "not in the vocabulary"},
      {[](Lists& lists) { lists.eos = 4; }, "tokenizer.ggml.eos_token_id: expected 0 to 3, got 4"},
  };
  for (const auto& [damage, message] : damages) {
    Lists lists = sound();
    damage(lists);
    EXPECT_THAT(error_of([&] { (void)read(lists); }), HasSubstr(message));
  }
}

TEST(GgufTokenizer, ATokenizerMustFitTheModel) {
  GgufWriter writer;
  const TokenizerFiles files = read_tokenizer_files(test::shipped_model());
  EXPECT_THAT(error_of([&] { write_gguf_tokenizer(files, 2000, writer); }),
              HasSubstr("token ids up to 2037 do not fit into a vocabulary of 2000"));
}

}  // namespace
}  // namespace m2
