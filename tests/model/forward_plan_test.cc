#include "model/forward_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "support/tiny_model.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::view;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Ints = std::vector<std::int64_t>;
using Bytes = std::vector<std::uint8_t>;

// Key ranges and masks of three tokens in one row.
struct MaskCase {
  const char* name;
  ForwardContext context;
  Ints attention_mask;  // one row of any length; empty: absent
  Ints cache_position;
  Ints position_ids;
  std::vector<std::int32_t> key_begin;
  std::vector<std::int32_t> key_end;
  Bytes key_mask;
};

const MaskCase kMaskCases[] = {
    {"plain", {}, {}, {}, {}, {0, 0, 0}, {1, 2, 3}, {}},
    {"after a cache", {.has_cache = true, .past_length = 2}, {}, {}, {}, {0, 0, 0}, {3, 4, 5}, {}},
    {"static cache",
     {.has_cache = true, .static_cache = true, .past_length = 2, .cache_capacity = 6},
     {},
     {},
     {},
     {0, 0, 0},
     {3, 4, 5},
     {}},
    {"left padding", {}, {0, 1, 1}, {}, {}, {0, 0, 0}, {1, 2, 3}, {0, 1, 1}},
    {"all real", {}, {1, 7, -1}, {}, {}, {0, 0, 0}, {1, 2, 3}, {}},
    {"longer mask is cut", {}, {0, 1, 1, 0, 0}, {}, {}, {0, 0, 0}, {1, 2, 3}, {0, 1, 1}},
    {"shorter mask is extended",
     {.has_cache = true, .past_length = 1},
     {1, 1},
     {},
     {},
     {0, 0, 0},
     {2, 3, 4},
     {1, 1, 0, 0}},
    {"eager follows cache_position",
     {.eager = true, .has_cache = true},
     {},
     {1, 0, 5},
     {},
     {0, 0, 0},
     {2, 1, 3},
     {}},
    {"sdpa without mask does not",
     {.has_cache = true},
     {},
     {1, 0, 5},
     {},
     {0, 0, 0},
     {1, 2, 3},
     {}},
    {"sdpa with mask does", {}, {0, 1, 1}, {1, 0, 5}, {}, {0, 0, 0}, {2, 1, 3}, {0, 1, 1}},
    {"packed documents", {}, {}, {}, {0, 1, 0}, {0, 0, 2}, {1, 2, 3}, {}},
    {"documents may start anywhere", {}, {}, {}, {5, 7, 8}, {0, 1, 1}, {1, 2, 3}, {}},
    {"cache_position makes documents", {}, {}, {1, 0, 5}, {}, {0, 1, 2}, {2, 1, 3}, {}},
    {"a cache hides documents", {.has_cache = true}, {}, {}, {0, 1, 0}, {0, 0, 0}, {1, 2, 3}, {}},
    {"a mask hides documents", {}, {1, 1, 1}, {}, {0, 1, 0}, {0, 0, 0}, {1, 2, 3}, {}},
};

TEST(ForwardPlan, KeysThatQueriesSee) {
  const Ints ids = {3, 4, 5};
  for (const MaskCase& c : kMaskCases) {
    ForwardInputs inputs = {.input_ids = view(ids, {1, 3})};
    const auto length = static_cast<std::int64_t>(c.attention_mask.size());
    if (length > 0) inputs.attention_mask = view(c.attention_mask, {1, length});
    if (!c.cache_position.empty()) inputs.cache_position = view(c.cache_position, {3});
    if (!c.position_ids.empty()) inputs.position_ids = view(c.position_ids, {1, 3});
    const ForwardPlan plan = plan_forward(inputs, test::tiny_config(), c.context);
    EXPECT_EQ(plan.key_begin, c.key_begin) << c.name;
    EXPECT_EQ(plan.key_end, c.key_end) << c.name;
    EXPECT_EQ(plan.key_mask, c.key_mask) << c.name;
    EXPECT_FALSE(plan.mask.present()) << c.name;
  }
}

TEST(ForwardPlan, PositionsCountPaddingAndThePast) {
  const std::vector<std::int32_t> ids = {3, 4, 5, 6};
  const Ints mask = {0, 1, 1, 1};
  const ForwardInputs inputs = {.input_ids = view(ids, {2, 2}),
                                .attention_mask = view(mask, {2, 2})};
  const ForwardPlan plan =
      plan_forward(inputs, test::tiny_config(), {.has_cache = true, .past_length = 7});
  EXPECT_THAT(plan.token_ids, ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(plan.cache_position, ElementsAre(7, 8));
  EXPECT_THAT(plan.position_ids, ElementsAre(7, 8, 7, 8));
  EXPECT_EQ(plan.context_len, 9);
}

TEST(ForwardPlan, OneRowOfPositionsServesAll) {
  const Ints ids = {3, 4, 5, 6};
  const Ints positions = {4, 9};
  const ForwardPlan plan =
      plan_forward({.input_ids = view(ids, {2, 2}), .position_ids = view(positions, {1, 2})},
                   test::tiny_config(), {});
  EXPECT_THAT(plan.position_ids, ElementsAre(4, 9, 4, 9));
}

TEST(ForwardPlan, EmbeddingsBecomeFloat32) {
  std::vector<bf16> embeddings(64, to_bf16(0.5F));
  embeddings[33] = to_bf16(-2.0F);
  const ForwardPlan plan =
      plan_forward({.inputs_embeds = view(embeddings, {1, 2, 32})}, test::tiny_config(), {});
  EXPECT_THAT(plan.token_ids, IsEmpty());
  EXPECT_EQ(plan.embeddings.shape(), Shape({2, 32}));
  EXPECT_EQ(plan.embeddings.as<float>()[33], -2.0F);
}

TEST(ForwardPlan, FourDimensionalMaskReplacesCausality) {
  const Ints ids = {3, 4};
  const std::vector<float> mask = {0, -1, -2, 0, 5, 6};  // two queries, a key more than there are
  const ForwardPlan plan =
      plan_forward({.input_ids = view(ids, {1, 2}), .attention_mask = view(mask, {1, 1, 2, 3})},
                   test::tiny_config(), {});
  EXPECT_THAT(plan.key_end, ElementsAre(2, 2));
  ASSERT_EQ(plan.mask.shape(), Shape({1, 1, 2, 2}));
  EXPECT_THAT(std::vector<float>(plan.mask.as<float>(), plan.mask.as<float>() + 4),
              ElementsAre(0, -1, 0, 5));
}

TEST(ForwardPlan, FourDimensionalMaskIsBroadcast) {
  const Ints ids = {3, 4};
  const std::vector<std::uint8_t> mask = {1, 0, 0, 1};  // of four heads, for all queries and keys
  const ForwardPlan plan = plan_forward(
      {.input_ids = view(ids, {1, 2}), .attention_mask = test::bool_view(mask, {1, 4, 1, 1})},
      test::tiny_config(), {});
  ASSERT_EQ(plan.mask.shape(), Shape({1, 4, 2, 2}));
  EXPECT_EQ(plan.mask.view().dtype, DType::kBool);
  const auto* data = static_cast<const std::uint8_t*>(plan.mask.view().data);
  EXPECT_THAT(Bytes(data, data + 8), ElementsAre(1, 1, 1, 1, 0, 0, 0, 0));
}

TEST(ForwardPlan, KeptPositions) {
  const Ints picked = {4, 0, -1, 0};
  const std::vector<std::uint8_t> chosen = {0, 1, 0, 0, 1};
  const struct {
    std::variant<std::int64_t, TensorView> keep;
    Ints expected;
  } cases[] = {
      {std::int64_t{0}, {0, 1, 2, 3, 4}}, {std::int64_t{1}, {4}},
      {std::int64_t{3}, {2, 3, 4}},       {std::int64_t{99}, {0, 1, 2, 3, 4}},
      {std::int64_t{-2}, {2, 3, 4}},      {std::int64_t{-9}, {}},
      {view(picked, {4}), {4, 0, 4, 0}},  {test::bool_view(chosen, {5}), {1, 4}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(kept_positions({.logits_to_keep = c.keep}, 5), c.expected);
  }
}

TEST(ForwardPlan, WeightsOfTheAuxiliaryLossAreTheMask) {
  const std::vector<float> mask = {0, 0.5F, 1, 1};
  EXPECT_THAT(aux_loss_weights(view(mask, {2, 2}), {2, 2}), ElementsAre(0, 0.5F, 1, 1));
  EXPECT_THAT(aux_loss_weights({}, {2, 2}), IsEmpty());
  EXPECT_THROW((void)aux_loss_weights(view(mask, {1, 4}), {1, 2}), Error);
  EXPECT_THROW((void)aux_loss_weights(view(mask, {1, 1, 2, 2}), {1, 2}), Error);
}

TEST(ForwardPlan, RefusesWhatDoesNotFit) {
  const Ints two = {3, 4};
  const Ints beyond = {3, 67};
  const Ints negative = {-1, 3};
  const std::vector<float> floats(64, 0.0F);
  const TensorView ids = view(two, {1, 2});
  const struct {
    const char* part;  // of the message
    ForwardInputs inputs;
    ForwardContext context;
  } cases[] = {
      {"You must specify exactly one of input_ids or inputs_embeds", {}, {}},
      {"exactly one", {.input_ids = ids, .inputs_embeds = view(floats, {1, 2, 32})}, {}},
      {"input_ids: expected [B, S]", {.input_ids = view(two, {2})}, {}},
      {"got [0, 2]", {.input_ids = view(two, {0, 2})}, {}},
      {"input_ids[0][1]: expected a token id below 67, got 67",
       {.input_ids = view(beyond, {1, 2})},
       {}},
      {"got -1", {.input_ids = view(negative, {1, 2})}, {}},
      {"input_ids: expected I64 or I32, got F32", {.input_ids = view(floats, {1, 2})}, {}},
      {"expected [B, S, 32]", {.inputs_embeds = view(floats, {1, 4, 16})}, {}},
      {"position_ids: expected [1, 2]", {.input_ids = ids, .position_ids = view(two, {2, 1})}, {}},
      {"cache_position: expected [2]", {.input_ids = ids, .cache_position = view(two, {1})}, {}},
      {"out of bounds for the static cache of 4",
       {.input_ids = ids, .cache_position = view(two, {2})},
       {.has_cache = true, .static_cache = true, .cache_capacity = 4}},
      {"out of bounds for the static cache of 4",
       {.input_ids = ids},
       {.has_cache = true, .static_cache = true, .past_length = 3, .cache_capacity = 4}},
      {"attention_mask: expected two or four dimensions",
       {.input_ids = ids, .attention_mask = view(two, {2})},
       {}},
      {"attention_mask: expected 1 rows",
       {.input_ids = ids, .attention_mask = view(two, {2, 1})},
       {}},
      {"attention_mask: expected [1 or 1, 4 or 1, 2, 2]",
       {.input_ids = ids, .attention_mask = view(floats, {1, 2, 2, 2})},
       {}},
      {"expected BOOL or floating numbers",
       {.input_ids = ids, .attention_mask = view(two, {1, 1, 1, 2})},
       {}},
  };
  for (const auto& c : cases) {
    try {
      (void)plan_forward(c.inputs, test::tiny_config(), c.context);
      ADD_FAILURE() << "accepted: " << c.part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(c.part));
    }
  }
}

}  // namespace
}  // namespace m2
