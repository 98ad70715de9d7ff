// The committed results of the tokenizers library; tools/make_tokenizer_goldens.py made them.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "m2/error.h"
#include "m2/tokenizer.h"
#include "support/paths.h"
#include "text/nfc.h"

namespace m2 {
namespace {

using nlohmann::json;

const json& golden(const std::string& name) {
  static std::map<std::string, json> files;
  json& file = files[name];
  if (file.is_null()) file = json::parse(test::read_file(test::golden_path("tokenizer/" + name)));
  return file;
}

json to_json(const std::vector<TextRange>& ranges) {
  json list = json::array();
  for (const TextRange& range : ranges) list.push_back({range.begin, range.end});
  return list;
}

void expect_encoding(const Encoding& encoding, const json& expected, const std::string& text) {
  EXPECT_EQ(json(encoding.ids), expected.at("ids")) << json(text);
  EXPECT_EQ(to_json(encoding.offsets), expected.at("offsets")) << json(text);
  EXPECT_EQ(json(encoding.word_ids), expected.at("word_ids")) << json(text);
  if (expected.contains("tokens")) {
    EXPECT_EQ(json(encoding.tokens), expected.at("tokens")) << json(text);
  }
  EXPECT_EQ(encoding.attention_mask, std::vector<uint8_t>(encoding.size(), 1));
  EXPECT_EQ(encoding.special_tokens_mask, std::vector<uint8_t>(encoding.size(), 0));
  EXPECT_EQ(encoding.type_ids, std::vector<int32_t>(encoding.size(), 0));
  EXPECT_EQ(encoding.sequence_ids, std::vector<int32_t>(encoding.size(), 0));
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

struct Model {
  std::string golden_name;
  std::optional<std::filesystem::path> directory;
};

class ModelGolden : public testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    if (!GetParam().directory) GTEST_SKIP() << "the published tokenizer.json is not here";
    // Loaded once for all tests of a model: the large one takes a moment.
    static std::map<std::string, Tokenizer> loaded;
    auto it = loaded.find(GetParam().golden_name);
    if (it == loaded.end()) {
      const Tokenizer tokenizer = Tokenizer::from_pretrained(*GetParam().directory);
      it = loaded.emplace(GetParam().golden_name, tokenizer).first;
    }
    tokenizer_ = it->second;
    expected_ = &golden(GetParam().golden_name);
  }

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const json& expected(const char* key) const { return expected_->at(key); }

 private:
  std::optional<Tokenizer> tokenizer_;
  const json* expected_ = nullptr;
};

TEST_P(ModelGolden, IdsOfAllTextsAreThoseOfTheReference) {
  const json& texts = golden("texts.json");
  const json& ids = expected("ids");
  ASSERT_EQ(texts.size(), ids.size());
  ASSERT_GE(texts.size(), 2000U);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    EXPECT_EQ(json(tokenizer().encode_ids(text)), ids[i]) << texts[i];
  }
  EXPECT_EQ(tokenizer().vocab_size(), expected("vocab_size"));
}

TEST_P(ModelGolden, DecodingGivesTheNormalizedText) {
  for (const json& item : golden("texts.json")) {
    const auto text = item.get<std::string>();
    EXPECT_EQ(tokenizer().decode(tokenizer().encode_ids(text)), to_nfc(text)) << item;
  }
}

TEST_P(ModelGolden, EncodingRecords) {
  const json& texts = golden("texts.json");
  for (const json& entry : expected("encodings")) {
    const auto text = texts.at(entry[0].get<size_t>()).get<std::string>();
    expect_encoding(tokenizer().encode(text), entry[1], text);
  }
}

TEST_P(ModelGolden, ByteOffsetsAreTheCodePointOffsetsInBytes) {
  for (const json& item : golden("texts.json")) {
    const auto text = item.get<std::string>();
    const Encoding by_code_point = tokenizer().encode(text);
    const Encoding by_byte = tokenizer().encode(text, {.offset_unit = OffsetUnit::kBytes});
    ASSERT_EQ(by_byte.ids, by_code_point.ids);
    for (size_t i = 0; i < by_byte.size(); ++i) {
      const TextRange bytes = by_byte.offsets[i];
      ASSERT_EQ(utf8::count(text.substr(0, bytes.begin)), by_code_point.offsets[i].begin) << item;
      ASSERT_EQ(utf8::count(text.substr(0, bytes.end)), by_code_point.offsets[i].end) << item;
    }
  }
}

TEST_P(ModelGolden, SpecialTokensAsText) {
  const json& texts = golden("texts.json");
  for (const json& entry : expected("special_as_text")) {
    const auto text = texts.at(entry[0].get<size_t>()).get<std::string>();
    EXPECT_EQ(json(tokenizer().encode_ids(text, /*encode_special_tokens=*/true)), entry[1]) << text;
  }
}

TEST_P(ModelGolden, InvalidUtf8IsReplaced) {
  for (const json& entry : expected("invalid")) {
    const std::string bytes = from_hex(entry[0]);
    const Encoding encoding = tokenizer().encode(bytes);
    EXPECT_EQ(json(encoding.ids), entry[1]) << entry[0];
    EXPECT_EQ(to_json(encoding.offsets), entry[2]) << entry[0];
    EXPECT_EQ(tokenizer().encode_ids(bytes), encoding.ids);
    for (const TextRange& range :
         tokenizer().encode(bytes, {.offset_unit = OffsetUnit::kBytes}).offsets) {
      EXPECT_LE(range.end, bytes.size());
    }
  }
}

TEST_P(ModelGolden, StreamingEqualsBatch) {
  for (const json& ids_json : expected("ids")) {
    const auto ids = ids_json.get<std::vector<TokenId>>();
    for (const bool skip : {false, true}) {
      Detokenizer detokenizer(tokenizer(), skip);
      std::string streamed;
      for (const TokenId id : ids) {
        const std::string chunk = detokenizer.push(id);
        ASSERT_TRUE(utf8::is_valid(chunk));
        ASSERT_LE(detokenizer.held_bytes(), 3U);
        streamed += chunk;
      }
      streamed += detokenizer.flush();
      ASSERT_EQ(streamed, tokenizer().decode(ids, {.skip_special_tokens = skip}));
    }
  }
}

std::string model_name(const testing::TestParamInfo<Model>& model) {
  return model.param.golden_name.substr(0, model.param.golden_name.find('.'));
}

INSTANTIATE_TEST_SUITE_P(Models, ModelGolden,
                         testing::Values(Model{"minimax_m2.json",
                                               test::external_data("minimax-m2")},
                                         Model{"tiny_agent.json", test::shipped_model()}),
                         model_name);

TEST(ShippedModelGolden, DecodingOfRandomIds) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(test::shipped_model());
  for (const json& entry : golden("tiny_agent.json").at("decode")) {
    const auto ids = entry[0].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), entry[1]) << entry[0];
    EXPECT_EQ(tokenizer.decode(ids), entry[2]) << entry[0];
    Detokenizer detokenizer(tokenizer);
    std::string streamed;
    for (const TokenId id : ids) streamed += detokenizer.push(id);
    EXPECT_EQ(streamed + detokenizer.flush(), entry[2]) << entry[0];
  }
}

Truncation truncation_of(const json& entry) {
  const std::map<std::string, TruncationStrategy> strategies = {
      {"longest_first", TruncationStrategy::kLongestFirst},
      {"only_first", TruncationStrategy::kOnlyFirst},
      {"only_second", TruncationStrategy::kOnlySecond}};
  return {.max_length = entry[3],
          .stride = entry[4],
          .strategy = strategies.at(entry[1]),
          .side = entry[2] == "right" ? Side::kRight : Side::kLeft};
}

TEST(ShippedModelGolden, Truncation) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(test::shipped_model());
  size_t errors = 0;
  for (const json& entry : golden("tiny_agent.json").at("truncation")) {
    const auto texts = entry[0].get<std::vector<std::string>>();
    EncodeOptions options;
    options.truncation = truncation_of(entry);
    const auto encode = [&] {
      return texts.size() == 1 ? tokenizer.encode(texts[0], options)
                               : tokenizer.encode_pair(texts[0], texts[1], options);
    };
    if (entry[5].is_null()) {
      EXPECT_THROW(static_cast<void>(encode()), Error) << entry;
      ++errors;
      continue;
    }
    const Encoding encoding = encode();
    EXPECT_EQ(json(encoding.ids), entry[5][0][0]) << entry;
    EXPECT_EQ(json(encoding.type_ids), entry[5][0][1]) << entry;
    json overflowing = json::array();
    for (const Encoding& window : encoding.overflowing) overflowing.push_back(window.ids);
    EXPECT_EQ(overflowing, entry[5][1]) << entry;
  }
  EXPECT_GT(errors, 20U);
}

TEST(ShippedModelGolden, Padding) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(test::shipped_model());
  for (const json& entry : golden("tiny_agent.json").at("padding")) {
    const auto texts = entry[0].get<std::vector<std::string>>();
    const std::vector<TextInput> inputs(texts.begin(), texts.end());
    Padding padding{.length = std::nullopt,
                    .multiple_of = entry[3],
                    .side = entry[1] == "right" ? Side::kRight : Side::kLeft,
                    .id = 20,
                    .type_id = 3,
                    .token = "<p>"};
    if (entry[2] >= 0) padding.length = entry[2].get<size_t>();
    EncodeOptions options;
    options.padding = padding;
    const std::vector<Encoding> batch = tokenizer.encode_batch(inputs, options);
    ASSERT_EQ(batch.size(), entry[4].size());
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(json(batch[i].ids), entry[4][i].at("ids")) << entry;
      EXPECT_EQ(json(batch[i].attention_mask), entry[4][i].at("attention_mask")) << entry;
      EXPECT_EQ(json(batch[i].type_ids), entry[4][i].at("type_ids")) << entry;
      EXPECT_EQ(json(batch[i].special_tokens_mask), entry[4][i].at("special")) << entry;
    }
  }
}

TEST(GenericGolden, EveryTokenizerAndText) {
  for (const json& entry : golden("generic.json")) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    const Tokenizer tokenizer = Tokenizer::from_json(entry.at("tokenizer").dump());
    for (const json& row : entry.at("rows")) {
      const auto text = row[0].get<std::string>();
      const Encoding encoding = tokenizer.encode(text);
      expect_encoding(encoding, row[1], text);
      EXPECT_EQ(tokenizer.encode_ids(text), encoding.ids);
      EXPECT_EQ(tokenizer.decode(encoding.ids), row[2]) << row[0];
      EXPECT_EQ(json(tokenizer.encode_ids(text, /*encode_special_tokens=*/true)), row[3]) << row[0];
    }
  }
}

}  // namespace
}  // namespace m2
