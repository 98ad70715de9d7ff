// Configurations as transformers 5.1.0 reads and writes them (tools/make_config_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/file_images.h"
#include "m2/config.h"
#include "model/python_json.h"
#include "support/paths.h"

namespace m2 {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct Golden {
  std::string name;
  std::string config;  // the file that is read
  std::string text;    // the file that is written; empty for an error
  bool warns = false;
};

std::vector<Golden> goldens() {
  const auto json =
      nlohmann::ordered_json::parse(test::read_file(test::golden_path("config/cases.json")));
  std::vector<Golden> cases;
  for (const auto& item : json) {
    cases.push_back({item["name"], item["config"], item.value("text", ""),
                     item.contains("warnings") && !item["warnings"].empty()});
  }
  return cases;
}

// As the reference: rotary_dim and other values are not looked at.
constexpr bool kStrict = true;

TEST(ConfigGolden, WrittenFilesAreEqualByteForByte) {
  for (const Golden& golden : goldens()) {
    if (golden.text.empty()) continue;
    SCOPED_TRACE(golden.name);
    const auto config = MiniMaxM2Config::from_json(golden.config, {.strict = kStrict});
    EXPECT_EQ(config.to_json(), golden.text);
  }
}

TEST(ConfigGolden, WhatIsWrittenReadsBackAsTheSame) {
  for (const Golden& golden : goldens()) {
    if (golden.text.empty()) continue;
    for (const bool strict : {true, false}) {
      SCOPED_TRACE(golden.name);
      const auto config = MiniMaxM2Config::from_json(golden.config, {.strict = strict});
      const std::string text = config.to_json();
      const auto again = MiniMaxM2Config::from_json(text, {.strict = strict});
      EXPECT_EQ(again.to_json(), text);
      EXPECT_EQ(again.rope, config.rope);
      EXPECT_EQ(again.quantization, config.quantization);
      EXPECT_EQ(again.eos_token_ids, config.eos_token_ids);
    }
  }
}

TEST(ConfigGolden, WarnsWhereTheReferenceDoes) {
  for (const Golden& golden : goldens()) {
    // The reference does not know its own rope_theta in "dynamic" and warns about every such file;
    // in the other it warns about the dictionary's length, which it does not use later.
    if (golden.text.empty() || golden.name == "dynamic" || golden.name == "yarn_top_original") {
      continue;
    }
    std::vector<std::string> warnings;
    (void)MiniMaxM2Config::from_json(golden.config, {.strict = kStrict, .warnings = &warnings});
    EXPECT_EQ(!warnings.empty(), golden.warns) << golden.name;
  }
}

TEST(ConfigGolden, RefusesWhatTheReferenceRefuses) {
  for (const Golden& golden : goldens()) {
    if (!golden.text.empty()) continue;
    EXPECT_THAT(test::error_of([&] { (void)MiniMaxM2Config::from_json(golden.config); }),
                StartsWith("invalid_argument: config: "))
        << golden.name;
  }
}

TEST(ConfigWrite, RotaryDimBecomesThePartialFactorThatTransformersReads) {
  const auto config = MiniMaxM2Config::from_json(R"({"rotary_dim": 64, "rope_theta": 5000000})");
  EXPECT_THAT(config.to_json(), HasSubstr(R"("rope_parameters": {
    "partial_rotary_factor": 0.5,
    "rope_theta": 5000000,
    "rope_type": "default"
  })"));
}

TEST(ConfigWrite, AChangedValueWinsOverTheFormInTheFile) {
  auto config = MiniMaxM2Config::from_json(
      R"({"rms_norm_eps": 1, "eos_token_id": [5], "rope_parameters": {"rope_theta": 3, "x": 1}})");
  config.rms_norm_eps = 2;
  config.eos_token_ids = {6};
  config.rope.rope_theta = 4;
  const std::string text = config.to_json();
  EXPECT_THAT(text, HasSubstr("\"rms_norm_eps\": 2.0"));
  EXPECT_THAT(text, HasSubstr("\"eos_token_id\": 6,"));
  EXPECT_THAT(text, HasSubstr("\"rope_theta\": 4.0"));
  EXPECT_THAT(text, Not(HasSubstr("\"x\"")));
}

TEST(ConfigWrite, RefusesGenerationParametersAndNoJson) {
  MiniMaxM2Config config;
  config.extra = {{"temperature", "0.5"}};
  EXPECT_THAT(test::error_of([&] { (void)config.to_json(); }),
              HasSubstr("temperature: is a generation parameter"));
  config.extra = {{"a", "{"}};
  EXPECT_THAT(test::error_of([&] { (void)config.to_json(); }), HasSubstr("a: the kept value"));
  config.extra = {{"vocab_size", "1"}};
  EXPECT_THAT(test::error_of([&] { (void)config.to_json(); }), HasSubstr("is a field"));
}

TEST(ConfigWrite, SavesIntoANewFolderButNotOntoAFile) {
  const test::TempDir folder;
  const auto path = folder.path() / "a" / "b";
  MiniMaxM2Config().save_pretrained(path);
  EXPECT_EQ(MiniMaxM2Config::from_pretrained(path), MiniMaxM2Config());
  EXPECT_EQ(test::read_file(path / "config.json"), MiniMaxM2Config().to_json());
  EXPECT_THAT(test::error_of([&] { MiniMaxM2Config().save_pretrained(path / "config.json"); }),
              HasSubstr("config.json: should be a directory, not a file"));
}

TEST(PythonFloat, WritesWhatReprWrites) {
  const std::vector<std::pair<double, std::string>> cases = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {1e-4, "0.0001"},
      {1e-5, "1e-05"},
      {1.5e-7, "1.5e-07"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.25e100, "1.25e+100"},
      {5e-324, "5e-324"},
      {0.1, "0.1"},
      {123456.789, "123456.789"},
      {1e22, "1e+22"},
      {9007199254740993.0, "9007199254740992.0"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(python_float(value), text);
}

}  // namespace
}  // namespace m2
