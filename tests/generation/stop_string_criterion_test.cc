#include "generation/stop_string_criterion.h"

#include <gtest/gtest.h>

#include "m2/error.h"
#include "text/small_tokenizer.h"

namespace m2::generation {
namespace {

class StopStringCriterionTest : public testing::Test {
 protected:
  [[nodiscard]] bool matches(const std::vector<std::string>& stops,
                             const std::vector<std::string>& tokens) const {
    std::vector<std::int32_t> ids;
    for (const std::string& token : tokens) {
      for (const std::int32_t id : tokenizer_.encode_ids(token)) ids.push_back(id);
    }
    return StopStringCriterion(stops, tokenizer_).matches(ids);
  }

  // Tokens: every byte, "he", "ll", "hell", "hello", " hello", "aa", "<think>".
  Tokenizer tokenizer_ = Tokenizer::from_json(test::small_tokenizer_json().dump());
};

TEST_F(StopStringCriterionTest, EndsInsideTheLastToken) {
  const struct {
    std::vector<std::string> stops;
    std::vector<std::string> tokens;
    bool expected;
  } cases[] = {
      {{"hello"}, {"hello"}, true},
      {{"hello"}, {"he", "ll", "o"}, true},
      {{"xhe"}, {"x", "hello"}, true},
      {{"xh"}, {"x", "hello"}, true},
      {{"ell"}, {"hello"}, true},
      {{"hello"}, {"hello", "x"}, false},
      {{"hello"}, {"he", "ll"}, false},
      {{"aaa"}, {"aa", "aa"}, true},
      {{"yes", "o!"}, {"hello", "!"}, true},
      {{"k>h"}, {"<think>", "he"}, true},
      {{"long stop string"}, {"g"}, false},
      {{"\xE2\x82\xAC"}, {"\xE2\x82\xAC"}, true},
      {{"\xE2\x82\xACx"}, {"\xE2\x82\xAC", "x"}, true},
  };
  for (const auto& [stops, tokens, expected] : cases) {
    EXPECT_EQ(matches(stops, tokens), expected) << stops[0] << " in " << tokens[0];
  }
}

TEST_F(StopStringCriterionTest, NeedsStrings) {
  EXPECT_THROW(StopStringCriterion({}, tokenizer_), Error);
  EXPECT_THROW(StopStringCriterion({"a", ""}, tokenizer_), Error);
  EXPECT_FALSE(StopStringCriterion({"a"}, tokenizer_).matches({}));
}

}  // namespace
}  // namespace m2::generation
