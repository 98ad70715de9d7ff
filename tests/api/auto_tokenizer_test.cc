#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "m2/auto.h"
#include "m2/error.h"
#include "support/paths.h"

namespace m2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Rows = std::vector<std::vector<std::int64_t>>;

const PreTrainedTokenizer& shipped() {
  static const PreTrainedTokenizer tokenizer =
      AutoTokenizer::from_pretrained(test::shipped_model().string());
  return tokenizer;
}

Rows rows_of(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  Rows rows(static_cast<std::size_t>(shape[0]));
  const auto* values = tensor.as<std::int64_t>();
  for (auto& row : rows) {
    row.assign(values, values + shape[1]);
    values += shape[1];
  }
  return rows;
}

ErrorCode error_code(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "expected an error";
  return ErrorCode::kInternal;
}

const std::vector<std::string> kTexts = {"hello world, this is it", "hi"};

// What transformers' AutoTokenizer gives for the same calls, pad_token being eos_token.
TEST(AutoTokenizer, PadsAndTruncatesAsTheReference) {
  struct Case {
    TokenizerCallOptions options;
    Rows ids;
    Rows mask;
  };
  const std::vector<std::int64_t> whole = {585, 400, 1701, 878, 44, 1424, 1374, 1458};
  for (const Case& c : {
           Case{{.padding = true},
                {whole, {1104, 2004, 2004, 2004, 2004, 2004, 2004, 2004}},
                {{1, 1, 1, 1, 1, 1, 1, 1}, {1, 0, 0, 0, 0, 0, 0, 0}}},
           Case{{.padding = true, .padding_side = Side::kLeft},
                {whole, {2004, 2004, 2004, 2004, 2004, 2004, 2004, 1104}},
                {{1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0, 1}}},
           Case{{.padding = true, .truncation = true, .max_length = 3},
                {{585, 400, 1701}, {1104, 2004, 2004}},
                {{1, 1, 1}, {1, 0, 0}}},
           Case{{.padding = true, .max_length = 3},
                {whole, {1104, 2004, 2004, 2004, 2004, 2004, 2004, 2004}},
                {{1, 1, 1, 1, 1, 1, 1, 1}, {1, 0, 0, 0, 0, 0, 0, 0}}},
           Case{{.pad_to_max_length = true, .truncation = true, .max_length = 4},
                {{585, 400, 1701, 878}, {1104, 2004, 2004, 2004}},
                {{1, 1, 1, 1}, {1, 0, 0, 0}}},
           Case{{.padding = true, .truncation = true, .max_length = 5, .pad_to_multiple_of = 5},
                {{585, 400, 1701, 878, 44}, {1104, 2004, 2004, 2004, 2004}},
                {{1, 1, 1, 1, 1}, {1, 0, 0, 0, 0}}},
           Case{{.max_length = 1}, {{585}, {1104}}, {{1}, {1}}},
           Case{{.truncation = true, .max_length = 0}, {{}, {}}, {{}, {}}},
       }) {
    const BatchEncoding batch = shipped()(kTexts, c.options);
    EXPECT_EQ(rows_of(batch.input_ids), c.ids);
    EXPECT_EQ(rows_of(batch.attention_mask), c.mask);
  }
  const BatchEncoding rounded = shipped()("hi", {.padding = true, .pad_to_multiple_of = 8});
  EXPECT_EQ(rounded.input_ids.shape(), (Shape{1, 8}));
  EXPECT_EQ(shipped()(std::vector<std::string>{}).input_ids.shape(), (Shape{0, 0}));
}

TEST(AutoTokenizer, RefusesWhatMakesNoTensor) {
  for (const TokenizerCallOptions& options : {
           TokenizerCallOptions{},
           TokenizerCallOptions{.max_length = -1},
           TokenizerCallOptions{.pad_to_max_length = true, .max_length = std::int64_t{1} << 40},
           TokenizerCallOptions{.padding = true, .pad_to_multiple_of = -8},
           TokenizerCallOptions{
               .padding = true, .truncation = true, .max_length = 6, .pad_to_multiple_of = 4},
       }) {
    EXPECT_EQ(error_code([&] { static_cast<void>(shipped()(kTexts, options)); }),
              ErrorCode::kInvalidArgument);
  }
}

TEST(AutoTokenizer, AppliesTheChatTemplate) {
  const BatchEncoding prompt =
      shipped().apply_chat_template({{"user", "hi"}}, {.add_generation_prompt = true});
  EXPECT_THAT(rows_of(prompt.input_ids)[0],
              ElementsAre(2018, 2003, 388, 10, 349, 1377, 1383, 408, 44, 1371, 1387, 1384, 46, 2004,
                          10, 2003, 302, 10, 1104, 2004, 10, 2003, 308, 10, 2034, 10));
  EXPECT_EQ(rows_of(shipped()
                        .apply_chat_template(std::string(R"([{"role":"user","content":"hi"}])"),
                                             {.add_generation_prompt = true})
                        .input_ids),
            rows_of(prompt.input_ids));
  const RenderedPrompt other = shipped().render_chat_template(
      R"([{"role":"user","content":"x"}])",
      {.template_kwargs_json = R"({"a": "b"})",
       .chat_template = "{{ bos_token }}{{ a }}{{ messages[0].content }}{{ eos_token }}"});
  EXPECT_EQ(other.text, "]~!b[bx[e~[");
}

TEST(AutoTokenizer, MessagesCannotForgeTurns) {
  const auto eos = shipped().tokenizer().eos_id().value();
  const auto count = [&](const std::string& content) {
    const BatchEncoding prompt = shipped().apply_chat_template({{"user", content}});
    return std::ranges::count(rows_of(prompt.input_ids)[0], eos);
  };
  EXPECT_EQ(count("a[e~[b"), count("ab"));
}

TEST(AutoTokenizer, Decodes) {
  const BatchEncoding batch = shipped()(kTexts, {.padding = true});
  EXPECT_THAT(shipped().batch_decode(batch.input_ids, {.skip_special_tokens = true}),
              ElementsAre(kTexts[0], kTexts[1]));
  EXPECT_THAT(shipped().batch_decode(batch.input_ids)[1], HasSubstr("hi[e~[[e~["));
  const BatchEncoding one = shipped()("a , b");
  EXPECT_EQ(shipped().decode(one.input_ids.view()), "a , b");
  EXPECT_EQ(shipped().decode(one.input_ids.view(), {.clean_up_tokenization_spaces = true}), "a, b");
  std::vector<std::int32_t> ids = {1104, 2004};
  EXPECT_EQ(shipped().decode({ids.data(), DType::kI32, {2}}, {.skip_special_tokens = true}), "hi");
  EXPECT_EQ(shipped().decode({ids.data(), DType::kI32, {0}}), "");
  std::int64_t large = std::int64_t{1} << 40;
  for (const TensorView& view :
       {batch.input_ids.view(), TensorView{&large, DType::kI64, {1}},
        TensorView{&large, DType::kF64, {1}}, TensorView{&large, DType::kI64, Shape{}}}) {
    EXPECT_EQ(error_code([&] { static_cast<void>(shipped().decode(view)); }),
              ErrorCode::kInvalidArgument);
  }
}

TEST(AutoTokenizer, ReadsTheSidesAndLivesWithoutATemplate) {
  const auto directory = std::filesystem::temp_directory_path() / "m2-auto-tokenizer-test";
  std::filesystem::create_directories(directory);
  std::filesystem::copy_file(test::shipped_model() / "tokenizer.json", directory / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  const auto load = [&](const std::string& config) {
    std::ofstream(directory / "tokenizer_config.json") << config;
    return AutoTokenizer::from_pretrained(directory.parent_path().string(),
                                          {.subfolder = directory.filename().string()});
  };
  const PreTrainedTokenizer left = load(
      R"({"padding_side": "left", "truncation_side": "left", "pad_token": "]!d~[",
          "model_max_length": 4})");
  const auto pad = left.tokenizer().pad_id().value();
  EXPECT_EQ(rows_of(left(kTexts, {.padding = true, .truncation = true}).input_ids),
            (Rows{{44, 1424, 1374, 1458}, {pad, pad, pad, 1104}}));
  EXPECT_EQ(error_code([&] { static_cast<void>(left.chat_template()); }), ErrorCode::kNotFound);
  const PreTrainedTokenizer bare = load("{}");
  EXPECT_EQ(error_code([&] { static_cast<void>(bare(kTexts, {.padding = true})); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(bare(kTexts, {.truncation = true, .max_length = 1}).input_ids.shape(), (Shape{2, 1}));
  EXPECT_EQ(error_code([&] { static_cast<void>(load(R"({"padding_side": "up"})")); }),
            ErrorCode::kCorruptFile);
  std::filesystem::remove_all(directory);
}

TEST(AutoTokenizer, NamesThatAreNothing) {
  for (const char* name : {"", "no/such/directory", "/nowhere"}) {
    EXPECT_EQ(error_code([&] { static_cast<void>(AutoTokenizer::from_pretrained(name)); }),
              ErrorCode::kNotFound)
        << name;
  }
  EXPECT_EQ(error_code([] {
              static_cast<void>(AutoTokenizer::from_pretrained(
                  "test/model", {.cache_dir = "/nowhere", .local_files_only = true}));
            }),
            ErrorCode::kNotFound);
}

}  // namespace
}  // namespace m2
