#include "m2/generation_config.h"

#include "base/error.h"
#include "support/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace m2 {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

json goldens() { return json::parse(test::read_file(test::golden_path("generation/config.json"))); }

// The reference keeps one id or string as it was given, to_json writes a list of one as the id.
json normalised(json fields) {
  for (auto& [name, value] : fields.items()) {
    const bool is_id_list = name.ends_with("token_id") || name.ends_with("suppress_tokens");
    if (is_id_list && value.is_array() && value.size() == 1) value = json(value[0]);
  }
  return fields;
}

json fields_of(const GenerationConfig& config) {
  json fields = json::parse(config.to_json());
  for (const auto& [name, value] : config.neutral) fields.erase(name);
  return fields;
}

ErrorCode code_of(const std::string& text) {
  try {
    GenerationConfig::from_json(text);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "not refused: " << text;
  return ErrorCode::kInternal;
}

std::string message_of(const std::string& text) {
  try {
    GenerationConfig::from_json(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GenerationConfigTest, ReadsAndRefusesAsTheReference) {
  const json content = goldens();
  for (const json& test_case : content["read"]) {
    SCOPED_TRACE(test_case["json"].dump());
    const std::string text = test_case["json"].dump();
    if (test_case.contains("error")) {
      EXPECT_EQ(code_of(text), ErrorCode::kInvalidArgument);
      continue;
    }
    const auto config = GenerationConfig::from_json(text);
    EXPECT_EQ(fields_of(config), normalised(test_case["value"]["fields"]));
    std::vector<std::string> warned;
    for (const auto& warning : config.warnings()) {
      warned.push_back(warning.substr(0, warning.find(':')));
    }
    std::ranges::sort(warned);
    EXPECT_EQ(json(warned), test_case["value"]["warnings"]);
    EXPECT_EQ(GenerationConfig::from_json(config.to_json()), config);
  }
}

TEST(GenerationConfigTest, ResolvesToTheValuesThatTheReferenceGeneratesWith) {
  const json content = goldens();
  for (const json& test_case : content["resolve"]) {
    SCOPED_TRACE(test_case.dump());
    const auto resolve = [&] {
      const auto model = GenerationConfig::from_json(test_case["model"].dump());
      GenerationConfig call;
      if (!test_case["call"].is_null()) {
        call = GenerationConfig::from_json(test_case["call"].dump());
      }
      call.update_from_json(test_case["keywords"].dump());
      const json& prompt = test_case["prompt"];
      return resolve_generation_config(
          model, call,
          {.num_tokens = prompt["num_tokens"].get<std::int64_t>(),
           .num_embeds = prompt.value("num_embeds", 0),
           .max_position_embeddings = prompt.value("max_position_embeddings", 0)});
    };
    if (test_case.contains("error")) {
      EXPECT_THROW(resolve(), Error);
      continue;
    }
    auto config = resolve().config;
    config.frequency_penalty.reset();  // not in the reference
    config.presence_penalty.reset();
    json expected = normalised(test_case["value"]);
    if (expected["pad_token_id"].is_null() && config.pad_token_id) {
      EXPECT_EQ(config.pad_token_id, config.eos_token_id->front());
      config.pad_token_id.reset();
    }
    for (auto it = expected.begin(); it != expected.end();) {
      it = it->is_null() ? expected.erase(it) : std::next(it);
    }
    EXPECT_EQ(fields_of(config), expected);
  }
}

class GenerationConfigFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / (std::string("m2_") + info->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  std::filesystem::path folder_;
};

TEST_F(GenerationConfigFilesTest, RawModelConfigCountsWhereItNamesGenerationFields) {
  const json content = goldens();
  for (const json& test_case : content["model_config"]) {
    write("config.json", test_case["json"].dump());
    EXPECT_EQ(fields_of(GenerationConfig::from_pretrained(folder_)),
              normalised(test_case["value"]));
    EXPECT_EQ(GenerationConfig::from_pretrained(folder_).neutral.at("_from_model_config"), "true");
  }
  write("generation_config.json", R"({"top_k": 3})");
  EXPECT_EQ(fields_of(GenerationConfig::from_pretrained(folder_)), json({{"top_k", 3}}));
}

TEST_F(GenerationConfigFilesTest, MissingAndDamagedFilesHaveTheirCodes) {
  const auto code = [&] {
    try {
      GenerationConfig::from_pretrained(folder_);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code(), ErrorCode::kNotFound);
  write("config.json", "{");
  EXPECT_EQ(code(), ErrorCode::kCorruptFile);
  write("generation_config.json", "[1]");
  EXPECT_EQ(code(), ErrorCode::kCorruptFile);
  write("generation_config.json", R"({"top_k": "many"})");
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
}

TEST_F(GenerationConfigFilesTest, SavesWhatItLoadsButNothingDoubtful) {
  auto config = GenerationConfig::from_json(
      R"({"do_sample": true, "top_k": 40, "num_beams": 1, "sequence_bias": [[[3, 4], -1.5]],
          "exponential_decay_length_penalty": [3, 1.5], "stop_strings": "end"})");
  config.save_pretrained(folder_);
  EXPECT_EQ(GenerationConfig::from_pretrained(folder_), config);
  std::ifstream file(folder_ / "generation_config.json");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_THAT(text, testing::HasSubstr(R"("transformers_version": "5.1.0")"));
  config.do_sample = false;
  EXPECT_THROW(config.save_pretrained(folder_), Error);
  config.do_sample = true;
  EXPECT_THROW(config.save_pretrained(folder_ / "absent"), Error);
}

TEST(GenerationConfigTest, BiasMayBeInfinite) {
  const auto config = GenerationConfig::from_json(
      R"({"sequence_bias": [[[3, 4], {"__float__": "-Infinity"}], [[5], {"__float__": "Infinity"}]]})");
  ASSERT_TRUE(config.sequence_bias.has_value());
  EXPECT_EQ((*config.sequence_bias)[0].bias, -std::numeric_limits<float>::infinity());
  EXPECT_EQ((*config.sequence_bias)[1].bias, std::numeric_limits<float>::infinity());
  EXPECT_EQ(GenerationConfig::from_json(config.to_json()), config);
}

TEST(GenerationConfigTest, HubFile) {
  const auto path = test::external_data("minimax-m2/generation_config.json");
  if (!path) GTEST_SKIP() << "the model's generation_config.json is not there";
  const auto config = GenerationConfig::from_pretrained(path->parent_path());
  EXPECT_EQ(config.bos_token_id, 200019);
  EXPECT_EQ(config.eos_token_id, std::vector<std::int32_t>{200020});
  EXPECT_EQ(config.do_sample, true);
  EXPECT_EQ(config.temperature, 1.0);
  EXPECT_EQ(config.top_k, 40);
  EXPECT_EQ(config.top_p, 0.95);
  EXPECT_THAT(config.warnings(), IsEmpty());
}

TEST(GenerationConfigTest, ModesThatAreNotDoneAreRefusedByName) {
  for (const char* text :
       {R"({"num_beam_groups": 2})", R"({"diversity_penalty": 0.5})", R"({"penalty_alpha": 0.6})",
        R"({"dola_layers": "low"})", R"({"constraints": [1]})", R"({"force_words_ids": [[1]]})",
        R"({"assistant_early_exit": 3})", R"({"watermarking_config": {}})",
        R"({"token_healing": true})", R"({"low_memory": true})",
        R"({"cache_implementation": "paged"})", R"({"cache_config": {"backend": "hqq"}})"}) {
    EXPECT_EQ(code_of(text), ErrorCode::kUnsupported) << text;
    const std::string name = json::parse(text).begin().key();
    EXPECT_THAT(message_of(text), HasSubstr(name + ": "));
  }
  EXPECT_THAT(message_of(R"({"penalty_alpha": 0.6})"),
              HasSubstr("contrastive search, which is not supported"));
}

TEST(GenerationConfigTest, NeutralValuesAreKept) {
  const auto config = GenerationConfig::from_json(
      R"({"num_beam_groups": 1.0, "penalty_alpha": 0, "constraints": null, "disable_compile": true,
          "transformers_version": "5.1.0"})");
  EXPECT_EQ(json::parse(config.to_json()), json::parse(R"({"num_beam_groups": 1.0,
      "penalty_alpha": 0, "disable_compile": true, "transformers_version": "5.1.0"})"));
}

TEST(GenerationConfigTest, UnknownNamesAreAllNamed) {
  EXPECT_THAT(message_of(R"({"topk": 1, "top_k": 2, "beams": 3})"), HasSubstr("beams, topk"));
}

TEST(GenerationConfigTest, WrongTypesAndSizesAreRefused) {
  for (const char* text : {"",
                           "null",
                           "[]",
                           "{",
                           R"({"top_k": 1.5})",
                           R"({"top_k": true})",
                           R"({"top_p": "1"})",
                           R"({"do_sample": 1})",
                           R"({"eos_token_id": [[1]]})",
                           R"({"eos_token_id": 1.0})",
                           R"({"max_length": 9999999999})",
                           R"({"max_length": -9999999999})",
                           R"({"seed": 1e30})",
                           R"({"temperature": 2})",
                           R"({"repetition_penalty": 3})",
                           R"({"stop_strings": [1]})",
                           R"({"stop_strings": {}})",
                           R"({"bad_words_ids": [1]})",
                           R"({"bad_words_ids": 1})",
                           R"({"sequence_bias": [[[-1], 1.0]]})",
                           R"({"sequence_bias": [[[1], 1]]})",
                           R"({"sequence_bias": [[[], 1.0]]})",
                           R"({"sequence_bias": {"1": 1.0}})",
                           R"({"exponential_decay_length_penalty": [1]})",
                           R"({"top_p": 1e999})",
                           R"({"num_return_sequences": 0})",
                           R"({"num_beams": 0})",
                           R"({"num_beams": 1.0})",
                           R"({"early_stopping": 1})",
                           R"({"prefill_chunk_size": 0})",
                           R"({"prompt_lookup_num_tokens": 0})",
                           R"({"max_matching_ngram_size": 0})",
                           R"({"num_assistant_tokens_schedule": "fast"})",
                           R"({"cache_config": 4})",
                           R"({"cache_config": {"nbits": "4"}})",
                           R"({"output_scores": 1})"}) {
    EXPECT_EQ(code_of(text), ErrorCode::kInvalidArgument) << text;
  }
  const std::string deep(100000, '[');
  EXPECT_EQ(code_of(R"({"transformers_version": )" + deep), ErrorCode::kInvalidArgument);
}

TEST(GenerationConfigTest, SeedTakesAll64Bits) {
  EXPECT_EQ(GenerationConfig::from_json(R"({"seed": -1})").seed, -1);
  EXPECT_EQ(GenerationConfig::from_json(R"({"seed": 18446744073709551615})").seed, -1);
}

TEST(GenerationConfigTest, FailedUpdateChangesNothing) {
  auto config = GenerationConfig::from_json(R"({"top_k": 3})");
  const auto before = config;
  EXPECT_THROW(config.update_from_json(R"({"top_k": 4, "top_p": "x"})"), Error);
  EXPECT_EQ(config, before);
}

TEST(GenerationConfigTest, TurnedOffFieldsStayOffUntilSetAgain) {
  GenerationConfig call;
  call.update_from_json(R"({"top_k": null})");
  const auto model = GenerationConfig::from_json(R"({"top_k": 7})");
  EXPECT_EQ(model.merge(call).with_defaults().top_k, std::nullopt);
  call.update_from_json(R"({"top_k": 9})");
  EXPECT_EQ(model.merge(call).with_defaults().top_k, 9);
  EXPECT_EQ(GenerationConfig::from_json(R"({"top_k": null})").with_defaults().top_k, 50);
}

TEST(GenerationConfigTest, ResolvingFillsThePadIdAndWarns) {
  GenerationConfig model;
  model.eos_token_id = {{5, 6}};
  GenerationConfig call;
  call.max_new_tokens = 3;
  call.max_length = 100;
  const auto resolved = resolve_generation_config(model, call, {.num_tokens = 4});
  EXPECT_EQ(resolved.config.pad_token_id, 5);
  EXPECT_EQ(resolved.config.max_length, 7);
  ASSERT_EQ(resolved.warnings.size(), 2U);
  EXPECT_THAT(resolved.warnings[0], HasSubstr("max_new_tokens"));
  EXPECT_THAT(resolved.warnings[1], HasSubstr("pad_token_id"));
  call.max_length.reset();
  call.max_new_tokens.reset();
  call.turned_off.insert("max_length");
  EXPECT_THROW(resolve_generation_config(model, call, {.num_tokens = 4}), Error);
}

}  // namespace
}  // namespace m2
