#include "service/batch_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace m2 {
namespace {

TEST(BatchInputs, ReadsEveryKey) {
  const BatchInputs inputs = parse_batch_inputs(
      R"({"input_ids": [[1, 2], [3, 4]], "attention_mask": [[0, 1], [1, 1]],
          "position_ids": [[1, 0], [0, 1]], "labels": [[-100, 2], [3, 4]]})",
      "in.json");
  EXPECT_EQ(inputs.batch_size, 2);
  EXPECT_EQ(inputs.sequence_length, 2);
  EXPECT_THAT(inputs.input_ids, testing::ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(inputs.attention_mask, testing::ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(inputs.position_ids, testing::ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(inputs.labels, testing::ElementsAre(-100, 2, 3, 4));
}

TEST(BatchInputs, OneRowMayStandAlone) {
  const BatchInputs inputs =
      parse_batch_inputs(R"({"input_ids": [1, 2, 3], "labels": null})", "in.json");
  EXPECT_EQ(inputs.batch_size, 1);
  EXPECT_EQ(inputs.sequence_length, 3);
  EXPECT_TRUE(inputs.labels.empty());
}

struct BadInput {
  const char* json;
  const char* message;
};

class BadInputs : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, NamesThePlace) {
  try {
    (void)parse_batch_inputs(GetParam().json, "in.json");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInputs,
    testing::Values(
        BadInput{"{", "in.json: expected a JSON object"}, BadInput{"{}", "\"input_ids\""},
        BadInput{R"({"input_ids": []})", "input_ids: expected a list of rows"},
        BadInput{R"({"input_ids": [[1, 2], [3]]})", "input_ids[1]: expected a list of 2 numbers"},
        BadInput{R"({"input_ids": [[1, -2]]})", "input_ids[0][1]: expected an integer from 0"},
        BadInput{R"({"input_ids": [[1.5]]})", "input_ids[0][0]: expected an integer"},
        BadInput{R"({"input_ids": [[99999999999999999999]]})", "input_ids[0][0]"},
        BadInput{R"({"input_ids": [[1]], "attention_mask": [[2]]})", "attention_mask[0][0]"},
        BadInput{R"({"input_ids": [[1]], "labels": [[1], [2]]})", "labels: expected 1 rows, got 2"},
        BadInput{R"({"input_ids": [[1]], "input_embeds": [[1]]})",
                 "unknown key \"input_embeds\""}));

}  // namespace
}  // namespace m2
