// What the loader refuses, and the small files that it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "m2/error.h"
#include "m2/tokenizer.h"
#include "small_tokenizer.h"

namespace m2 {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Refusal {
  std::string name;
  ErrorCode code;
  std::string message;  // a part of it
  std::function<void(json&)> change;
};

class RefusedTokenizer : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedTokenizer, WithCodeAndMessage) {
  json file = test::small_tokenizer_json();
  ASSERT_NO_THROW(static_cast<void>(Tokenizer::from_json(file.dump())));
  GetParam().change(file);
  try {
    static_cast<void>(Tokenizer::from_json(file.dump()));
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), GetParam().code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
  }
}

json nested_array(int depth) {
  json value = json::array();
  for (int i = 0; i < depth; ++i) value = json::array({std::move(value)});
  return value;
}

constexpr auto kCorrupt = ErrorCode::kCorruptFile;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

const Refusal kRefusals[] = {
    {"NotAnObject", kCorrupt, "object", [](json& j) { j = json::array(); }},
    {"NoModel", kCorrupt, "no model", [](json& j) { j.erase("model"); }},
    {"NoVocab", kCorrupt, "vocab", [](json& j) { j["model"].erase("vocab"); }},
    {"NoMerges", kCorrupt, "merges", [](json& j) { j["model"].erase("merges"); }},
    {"VocabIsList", kCorrupt, "vocab", [](json& j) { j["model"]["vocab"] = json::array(); }},
    {"MergesIsObject", kCorrupt, "merges", [](json& j) { j["model"]["merges"] = json::object(); }},
    {"TextId", kCorrupt, "vocab", [](json& j) { j["model"]["vocab"]["a"] = "1"; }},
    {"NegativeId", kCorrupt, "-3", [](json& j) { j["model"]["vocab"]["a"] = -3; }},
    {"FractionalId", kCorrupt, "vocab", [](json& j) { j["model"]["vocab"]["a"] = 1.5; }},
    {"HugeId", kCorrupt, "4000000000", [](json& j) { j["model"]["vocab"]["a"] = 4000000000; }},
    {"HugeUnsignedId", kCorrupt, "is not in",
     [](json& j) { j["model"]["vocab"]["a"] = UINT64_MAX; }},
    {"SharedId", kCorrupt, "already belongs", [](json& j) { j["model"]["vocab"]["a"] = 98; }},
    {"MergeOfOnePart", kCorrupt, "merges[6]",
     [](json& j) { j["model"]["merges"].push_back("ab"); }},
    {"MergeOfThreeParts", kCorrupt, "merges[6]",
     [](json& j) { j["model"]["merges"].push_back("a b c"); }},
    {"MergeListOfOne", kCorrupt, "expected 2 strings",
     [](json& j) { j["model"]["merges"].push_back(json::array({"a"})); }},
    {"MergeOfNumbers", kCorrupt, "merges",
     [](json& j) {
       j["model"]["merges"].push_back(json::array({1, 2}));
     }},
    {"MergeIsNumber", kCorrupt, "merges", [](json& j) { j["model"]["merges"].push_back(7); }},
    {"MergePartMissing", kCorrupt, "\"xyz\" of merge 6",
     [](json& j) { j["model"]["merges"].push_back("xyz a"); }},
    {"MergeResultMissing", kCorrupt, "result of merge 6",
     [](json& j) { j["model"]["merges"].push_back("x y"); }},
    {"UnkMissing", kCorrupt, "unk_token", [](json& j) { j["model"]["unk_token"] = "<unk>"; }},
    {"FlagIsText", kCorrupt, "fuse_unk", [](json& j) { j["model"]["fuse_unk"] = "yes"; }},
    {"ModelType", kUnsupported, "Unigram", [](json& j) { j["model"]["type"] = "Unigram"; }},
    {"ModelWithoutType", kCorrupt, "type", [](json& j) { j["model"].erase("type"); }},
    {"Dropout", kUnsupported, "dropout", [](json& j) { j["model"]["dropout"] = 0.1; }},
    {"NormalizerType", kUnsupported, "Lowercase",
     [](json& j) {
       j["normalizer"] = {{"type", "Lowercase"}};
     }},
    {"NormalizerInSequence", kUnsupported, "normalizers[0]: type NFKC",
     [](json& j) {
       j["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array({{{"type", "NFKC"}}})}};
     }},
    {"PreTokenizerType", kUnsupported, "Metaspace",
     [](json& j) {
       j["pre_tokenizer"] = {{"type", "Metaspace"}};
     }},
    {"PreTokenizerIsText", kCorrupt, "pre_tokenizer", [](json& j) { j["pre_tokenizer"] = "x"; }},
    {"OtherRegex", kUnsupported, "\\w+",
     [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }},
    {"StringPattern", kUnsupported, "no Regex",
     [](json& j) {
       j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", " "}};
     }},
    {"SplitBehavior", kUnsupported, "MergedWithNext",
     [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "MergedWithNext"; }},
    {"RemovedMatches", kUnsupported, "Removed",
     [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = false; }},
    {"StepAfterByteLevel", kUnsupported, "after ByteLevel",
     [](json& j) {
       auto& steps = j["pre_tokenizer"]["pretokenizers"];
       std::swap(steps[0], steps[1]);
     }},
    {"DecoderType", kUnsupported, "WordPiece",
     [](json& j) {
       j["decoder"] = {{"type", "WordPiece"}};
     }},
    {"NoDecoder", kUnsupported, "decoder", [](json& j) { j["decoder"] = nullptr; }},
    {"PostProcessorType", kUnsupported, "TemplateProcessing",
     [](json& j) {
       j["post_processor"] = {{"type", "TemplateProcessing"}};
     }},
    {"AddedTokenTwice", kCorrupt, "twice",
     [](json& j) { j["added_tokens"][1]["content"] = j["added_tokens"][0]["content"]; }},
    {"AddedTokenSharesId", kCorrupt, "already belongs",
     [](json& j) { j["added_tokens"][1]["id"] = 300; }},
    {"AddedTokenHasIdOfVocab", kCorrupt, "already belongs",
     [](json& j) { j["added_tokens"][1]["id"] = 65; }},
    {"AddedTokenHasOtherIdThanVocab", kCorrupt, "in the vocabulary",
     [](json& j) { j["added_tokens"][1]["content"] = "hello"; }},
    {"AddedTokenIdIsText", kCorrupt, "added_tokens[1].id",
     [](json& j) { j["added_tokens"][1]["id"] = "x"; }},
    {"AddedTokenIdOutOfRange", kCorrupt, "is not in",
     [](json& j) { j["added_tokens"][1]["id"] = 1LL << 40; }},
    {"AddedTokenTooLong", kUnsupported, "bytes long",
     [](json& j) { j["added_tokens"][1]["content"] = std::string(5000, 'x'); }},
    {"TooDeep", kCorrupt, "nested", [](json& j) { j["extra"] = nested_array(100); }},
};

INSTANTIATE_TEST_SUITE_P(Files, RefusedTokenizer, testing::ValuesIn(kRefusals),
                         [](const testing::TestParamInfo<Refusal>& refusal) {
                           return refusal.param.name;
                         });

TEST(TokenizerLoad, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "{\"model\": {\"vocab\": {\"a\": ", "nul", "\xff", "{}x"}) {
    EXPECT_THROW(static_cast<void>(Tokenizer::from_json(text)), Error) << text;
  }
}

TEST(TokenizerLoad, RefusesADuplicateKeyInTheVocabulary) {
  std::string text = test::small_tokenizer_json().dump();
  const std::string entry = "\"A\":65";
  text.replace(text.find(entry), entry.size(), entry + ",\"A\":290");
  EXPECT_THROW(static_cast<void>(Tokenizer::from_json(text)), Error);
}

TEST(TokenizerLoad, TakesGapsInTheIds) {
  json file = test::small_tokenizer_json();
  file["model"]["vocab"]["a"] = 1000;
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
  EXPECT_EQ(tokenizer.encode_ids("ab"), (std::vector<TokenId>{1000, 98}));
  EXPECT_EQ(tokenizer.id_to_token(97), std::nullopt);
  EXPECT_EQ(tokenizer.id_limit(), 1001U);
}

class PretrainedDirectory : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
    write("tokenizer.json", test::small_tokenizer_json().dump());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const char* name, const std::string& text) const {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  [[nodiscard]] Tokenizer load() const { return Tokenizer::from_pretrained(directory_); }

  std::filesystem::path directory_;
};

TEST_F(PretrainedDirectory, NeedsNoConfig) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
  EXPECT_EQ(tokenizer.model_max_length(), std::nullopt);
  EXPECT_FALSE(tokenizer.clean_up_tokenization_spaces());
}

TEST_F(PretrainedDirectory, ReadsTheConfig) {
  write("tokenizer_config.json", R"({"tokenizer_class": "Whatever", "bos_token": "]~b]",
    "eos_token": {"content": "[e~[", "special": true}, "unk_token": "not there", "pad_token": null,
    "model_max_length": 4096, "clean_up_tokenization_spaces": true})");
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.bos_id(), 300);
  EXPECT_EQ(tokenizer.eos_id(), 301);
  EXPECT_EQ(tokenizer.unk_id(), std::nullopt);
  EXPECT_EQ(tokenizer.pad_id(), std::nullopt);
  EXPECT_EQ(tokenizer.model_max_length(), 4096);
  const std::vector<TokenId> ids = tokenizer.encode_ids("a . b do n't 'm , ' x");
  EXPECT_EQ(tokenizer.decode(ids), "a. b don't'm,'x");
  EXPECT_EQ(tokenizer.decode(ids, {.clean_up_tokenization_spaces = false}),
            "a . b do n't 'm , ' x");
}

TEST_F(PretrainedDirectory, VeryLargeMaxLengthMeansNone) {
  write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(load().model_max_length(), std::nullopt);
}

TEST_F(PretrainedDirectory, RefusesABrokenConfig) {
  for (const char* text : {"", "[]", "{", R"({"eos_token": 7})", R"({"eos_token": {"x": 1}})"}) {
    write("tokenizer_config.json", text);
    EXPECT_THROW(static_cast<void>(load()), Error) << text;
  }
  write("tokenizer_config.json", std::string(100000, '['));
  EXPECT_THROW(static_cast<void>(load()), Error);
}

TEST_F(PretrainedDirectory, RefusesAnEmptyOrMissingFile) {
  write("tokenizer.json", "");
  EXPECT_THROW(static_cast<void>(load()), Error);
  std::filesystem::remove(directory_ / "tokenizer.json");
  try {
    static_cast<void>(load());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace m2
