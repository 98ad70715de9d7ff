// generate() where the reference has no numbers: draws, streams, cancellation, refusals, and what
// is done differently on purpose.
#include "generation/generate/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "generation/table_model.h"
#include "m2/error.h"
#include "model/cache_impl.h"
#include "support/generating_checkpoint.h"
#include "support/paths.h"
#include "support/views.h"

namespace m2 {
namespace {

using generation::generate;
using generation::Ids;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

GenerationConfig call_of(const std::string& json) {
  GenerationConfig call;
  call.update_from_json(json);
  return call;
}

std::vector<Ids> rows_of(const GenerateOutput& output) {
  std::vector<Ids> rows;
  const std::int64_t columns = output.sequences.shape()[1];
  for (std::int64_t row = 0; row < output.sequences.shape()[0]; ++row) {
    const auto* ids = output.sequences.as<std::int64_t>() + row * columns;
    rows.emplace_back(ids, ids + columns);
  }
  return rows;
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "not refused";
  return ErrorCode::kInternal;
}

struct Prompt {
  std::vector<std::int32_t> ids;
  std::int64_t rows = 1;

  [[nodiscard]] GenerateInputs inputs() const {
    GenerateInputs inputs;
    inputs.input_ids = test::view(ids, {rows, static_cast<std::int64_t>(ids.size()) / rows});
    return inputs;
  }
};

// The upper bound that one sample in a thousand exceeds.
constexpr double kChiSquare24 = 51.2;

// How far the pairs of tokens that came out are from those of the model.
double chi_square_of_pairs(const test::TableModel& model, const Ids& prompt,
                           const std::map<std::pair<int, int>, int>& counts, int total) {
  double chi_square = 0;
  for (std::int32_t a = 0; a < 5; ++a) {
    Ids longer = prompt;
    longer.push_back(a);
    for (std::int32_t b = 0; b < 5; ++b) {
      const double expected =
          total * std::exp(model.log_probability(prompt, a) + model.log_probability(longer, b));
      const auto found = counts.find({a, b});
      const int count = found == counts.end() ? 0 : found->second;
      chi_square += std::pow(count - expected, 2) / expected;
    }
  }
  return chi_square;
}

TEST(Generate, SamplesFromTheModel) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2}};
  const auto output = generate(model.model(), nullptr, prompt.inputs(),
                               call_of(R"({"do_sample": true, "num_return_sequences": 20000,
                                           "max_new_tokens": 2, "top_k": 0, "seed": 3})"),
                               {});
  std::map<std::pair<int, int>, int> counts;
  for (const Ids& row : rows_of(output)) ++counts[{row[2], row[3]}];
  EXPECT_LT(chi_square_of_pairs(model, prompt.ids, counts, 20000), kChiSquare24);
}

TEST(Generate, SeedsAndRowsDrawDifferently) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2}};
  const auto run = [&](const std::string& seed) {
    return rows_of(generate(model.model(), nullptr, prompt.inputs(),
                            call_of(R"({"do_sample": true, "num_return_sequences": 2,
                                        "max_new_tokens": 20, "seed": )" +
                                    seed + "}"),
                            {}));
  };
  EXPECT_EQ(run("1"), run("1"));
  EXPECT_NE(run("1"), run("2"));
  EXPECT_NE(run("1")[0], run("1")[1]);
}

TEST(Generate, RowsThatEndChangeNoOthers) {
  test::TableModel model(5, 4);
  const auto call = call_of(R"({"max_new_tokens": 12, "eos_token_id": 3, "pad_token_id": 4,
                                "do_sample": true, "seed": 5})");
  const Prompt both = {{1, 2, 1, 2}, 2};
  const auto rows = rows_of(generate(model.model(), nullptr, both.inputs(), call, {}));
  for (const Ids& row : rows) {
    const auto end = std::ranges::find(row, 3);
    if (end == row.end()) continue;
    EXPECT_EQ(std::count(end + 1, row.end(), 4), row.end() - end - 1);
  }
  const Prompt first = {{1, 2}};
  Ids alone = rows_of(generate(model.model(), nullptr, first.inputs(), call, {}))[0];
  alone.resize(rows[0].size(), 4);
  EXPECT_EQ(alone, rows[0]);
}

TEST(Generate, BeamSampleDrawsBySeed) {
  test::TableModel model(5, 2);
  const Prompt prompt = {{1, 2}};
  const auto run = [&](const std::string& seed) {
    return rows_of(generate(model.model(), nullptr, prompt.inputs(),
                            call_of(R"({"do_sample": true, "num_beams": 3, "max_new_tokens": 8,
                                        "num_return_sequences": 3, "seed": )" +
                                    seed + "}"),
                            {}));
  };
  EXPECT_EQ(run("1"), run("1"));
  EXPECT_NE(run("1"), run("2"));
  EXPECT_EQ(run("1")[0].size(), 10U);
}

class Recorder final : public BaseStreamer {
 public:
  void put(std::span<const std::int64_t> ids) override {
    pieces.emplace_back(ids.begin(), ids.end());
  }
  void end() override { ++ends; }

  std::vector<std::vector<std::int64_t>> pieces;
  int ends = 0;
};

TEST(Generate, StreamsThePromptAndEveryToken) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2}};
  Recorder recorder;
  const auto rows = rows_of(generate(model.model(), nullptr, prompt.inputs(),
                                     call_of(R"({"max_new_tokens": 2})"), {.streamer = &recorder}));
  EXPECT_THAT(recorder.pieces,
              ElementsAre(ElementsAre(1, 2), ElementsAre(rows[0][2]), ElementsAre(rows[0][3])));
  EXPECT_EQ(recorder.ends, 1);
}

TEST(Generate, AStreamIsForOneRowWithoutBeams) {
  test::TableModel model(5, 1);
  const Prompt one = {{1, 2}};
  const Prompt two = {{1, 2, 1, 2}, 2};
  Recorder recorder;
  const GenerateOptions options = {.streamer = &recorder};
  EXPECT_EQ(code_of([&] { generate(model.model(), nullptr, two.inputs(), {}, options); }),
            ErrorCode::kInvalidArgument);
  for (const char* beams : {R"({"num_beams": 2})", R"({"num_beams": 2, "do_sample": true})"}) {
    EXPECT_EQ(
        code_of([&] { generate(model.model(), nullptr, one.inputs(), call_of(beams), options); }),
        ErrorCode::kInvalidArgument);
  }
}

TEST(Generate, StopsWhenAskedAndWhenTimeIsOver) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2}};
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(code_of([&] {
              generate(model.model(), nullptr, prompt.inputs(), {}, {.stop = stop.get_token()});
            }),
            ErrorCode::kCancelled);
  const auto output = generate(model.model(), nullptr, prompt.inputs(),
                               call_of(R"({"max_new_tokens": 500, "max_time": 0})"), {});
  EXPECT_EQ(output.sequences.shape(), Shape({1, 3})) << "the step in progress is completed";
}

TEST(Generate, NeverChoosesIdsWithoutAToken) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 1}};
  for (const char* call : {R"({"do_sample": true, "max_new_tokens": 200})",
                           R"({"num_beams": 2, "max_new_tokens": 50})"}) {
    const auto rows = rows_of(
        generate(model.model(), nullptr, prompt.inputs(), call_of(call), {.num_valid_tokens = 3}));
    EXPECT_LT(*std::ranges::max_element(rows[0]), 3);
  }
}

TEST(Generate, SaysWhatIsDoubtful) {
  test::TableModel model(5, 1);
  const Prompt padded = {{4, 2, 1, 4}, 2};
  const auto warnings = [&](const std::string& call) {
    return generate(model.model(), nullptr, padded.inputs(), call_of(call), {}).warnings;
  };
  EXPECT_THAT(warnings(R"({"pad_token_id": 4})"), Contains(HasSubstr("pad on the left")));
  EXPECT_THAT(warnings(R"({"eos_token_id": 4, "pad_token_id": 4})"),
              Contains(HasSubstr("attention_mask: not given")));
  EXPECT_THAT(warnings(R"({"output_scores": true})"), Contains(HasSubstr("output_scores: has no")));
  EXPECT_THAT(warnings(R"({"num_beams": 2, "prompt_lookup_num_tokens": 2})"),
              Contains(HasSubstr("is not used")));
}

TEST(Generate, RefusesInputsThatDoNotFit) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2}};
  const Prompt longer = {{1, 2, 3}};
  const std::vector<float> embeds(6);
  const auto refuse = [&](GenerateInputs inputs, const std::string& call) {
    EXPECT_EQ(code_of([&] { generate(model.model(), nullptr, inputs, call_of(call), {}); }),
              ErrorCode::kInvalidArgument);
  };
  refuse({}, "{}");
  GenerateInputs inputs = prompt.inputs();
  inputs.attention_mask = longer.inputs().input_ids;
  refuse(inputs, "{}");
  inputs = prompt.inputs();
  inputs.position_ids = longer.inputs().input_ids;
  refuse(inputs, "{}");
  inputs = prompt.inputs();
  inputs.inputs_embeds = test::view(embeds, {1, 3, 2});
  refuse(inputs, "{}");
  inputs.inputs_embeds = test::view(embeds, {3, 2});
  refuse(inputs, "{}");
  refuse(prompt.inputs(), R"({"prefill_chunk_size": 2})");
  refuse(prompt.inputs(), R"({"stop_strings": "a"})");
  refuse(prompt.inputs(), R"({"guidance_scale": 2.0, "temperature": -1.0, "do_sample": true})");
}

TEST(Generate, CustomCriteriaSeeTheirRow) {
  test::TableModel model(5, 1);
  const Prompt prompt = {{1, 2, 1, 2}, 2};
  GenerateOptions options;
  options.stopping_criteria.emplace_back([](std::span<const std::int32_t> ids, std::int64_t row) {
    return std::cmp_equal(ids.size(), row == 0 ? 4 : 6);
  });
  const auto rows =
      rows_of(generate(model.model(), nullptr, prompt.inputs(),
                       call_of(R"({"eos_token_id": 100, "pad_token_id": 0})"), options));
  EXPECT_EQ(rows[0].size(), 6U);
  EXPECT_THAT(std::span(rows[0]).last(2), ElementsAre(0, 0));
}

// ---- On a checkpoint --------------------------------------------------------------------------

class GenerateOnCheckpoint : public testing::Test {
 protected:
  std::vector<Ids> run(const std::string& call, const GenerateOptions& options = {}) {
    return rows_of(generate(model_.model(), nullptr, prompt_.inputs(), call_of(call), options));
  }
  std::vector<Ids> run_assisted(const std::string& call) {
    return rows_of(
        generate(model_.model(), &assistant_.model(), prompt_.inputs(), call_of(call), {}));
  }

  test::GeneratingCheckpoint model_{test::golden_path("checkpoints/gqa")};
  test::GeneratingCheckpoint assistant_{test::golden_path("checkpoints/f16")};
  Prompt prompt_{{11, 52, 33, 74, 11, 52, 33, 60, 11, 52, 33}};
};

TEST_F(GenerateOnCheckpoint, LookupSamplesTheSameTokens) {
  const std::string options = R"("do_sample": true, "temperature": 0.3, "max_new_tokens": 30,
                                 "eos_token_id": null, "seed": 4)";
  EXPECT_EQ(run("{" + options + R"(, "prompt_lookup_num_tokens": 5})"), run("{" + options + "}"));
}

TEST_F(GenerateOnCheckpoint, AssistanceChangesNoGreedyText) {
  for (const char* options :
       {R"("max_new_tokens": 20)",
        R"("max_new_tokens": 20, "min_new_tokens": 15, "eos_token_id": [5, 9, 44])",
        R"("max_new_tokens": 20, "guidance_scale": 1.6)",
        R"("max_new_tokens": 20, "repetition_penalty": 1.4, "prefill_chunk_size": 4)"}) {
    const std::string text = options;
    EXPECT_EQ(run_assisted("{" + text + "}"), run("{" + text + "}")) << text;
    EXPECT_EQ(run("{" + text + R"(, "prompt_lookup_num_tokens": 4})"), run("{" + text + "}"))
        << text;
  }
}

TEST_F(GenerateOnCheckpoint, TheHeuristicDraftLengthStaysWithTheAssistant) {
  assistant_.generation_config().num_assistant_tokens = 5;
  assistant_.generation_config().num_assistant_tokens_schedule = "heuristic_transient";
  (void)run_assisted(R"({"max_new_tokens": 10, "eos_token_id": null})");
  EXPECT_EQ(assistant_.generation_config().num_assistant_tokens, 5);
  assistant_.generation_config().num_assistant_tokens_schedule = "heuristic";
  (void)run_assisted(R"({"max_new_tokens": 10, "eos_token_id": null})");
  EXPECT_NE(assistant_.generation_config().num_assistant_tokens, 5);
}

TEST_F(GenerateOnCheckpoint, LookupKeepsToMaxLength) {
  const std::string repeat = R"({"max_new_tokens": 3, "prompt_lookup_num_tokens": 8,
      "sequence_bias": [[[11, 52], 60.0], [[52, 33], 60.0], [[33, 74], 60.0], [[74, 11], 60.0]]})";
  EXPECT_EQ(run(repeat)[0].size(), prompt_.ids.size() + 3);
  EXPECT_GT(run(repeat, {.strict = true})[0].size(), prompt_.ids.size() + 3);
}

TEST_F(GenerateOnCheckpoint, GivenPositionsAreCountedOn) {
  std::vector<std::int64_t> positions(prompt_.ids.size());
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int64_t>(i);
  GenerateInputs inputs = prompt_.inputs();
  inputs.position_ids = test::view(positions, inputs.input_ids.shape);
  const auto call = call_of(R"({"max_new_tokens": 20, "eos_token_id": null})");
  EXPECT_EQ(rows_of(generate(model_.model(), nullptr, inputs, call, {})),
            rows_of(generate(model_.model(), nullptr, prompt_.inputs(), call, {})));
}

TEST_F(GenerateOnCheckpoint, GuidanceFollowsTheBeams) {
  const std::string call = R"({"max_new_tokens": 12, "num_beams": 3, "guidance_scale": 1.8)";
  EXPECT_EQ(run(call + "}"), run(call + R"(, "use_cache": false})"));
}

TEST_F(GenerateOnCheckpoint, TransitionScoresAddUpToTheBeamsScores) {
  const auto output =
      generate(model_.model(), nullptr, prompt_.inputs(),
               call_of(R"({"max_new_tokens": 10, "num_beams": 4, "num_return_sequences": 4,
                           "length_penalty": 0.5, "eos_token_id": [5, 9, 44], "output_scores": true,
                           "return_dict_in_generate": true})"),
               {});
  const Tensor scores =
      compute_transition_scores(output.sequences.view(), output.scores, output.beam_indices.view());
  const std::int64_t steps = scores.shape()[1];
  for (std::int64_t row = 0; row < 4; ++row) {
    double sum = 0;
    double length = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
      sum += scores.as<float>()[row * steps + step];
      length += output.beam_indices.as<std::int32_t>()[row * steps + step] >= 0 ? 1 : 0;
    }
    EXPECT_NEAR(sum / std::sqrt(length), output.sequences_scores.as<float>()[row], 1e-4) << row;
  }
}

TEST_F(GenerateOnCheckpoint, TheCacheComesBackAndGoesOn) {
  const auto first = generate(model_.model(), nullptr, prompt_.inputs(),
                              call_of(R"({"max_new_tokens": 4, "eos_token_id": null,
                                          "return_dict_in_generate": true})"),
                              {});
  ASSERT_NE(first.past_key_values, nullptr);
  EXPECT_EQ(first.past_key_values->get_seq_length(), 14);
  GenerateInputs inputs;
  inputs.input_ids = first.sequences.view();
  inputs.past_key_values = first.past_key_values;
  const auto call = call_of(R"({"max_new_tokens": 4, "eos_token_id": null})");
  const auto second = generate(model_.model(), nullptr, inputs, call, {});
  EXPECT_EQ(rows_of(second)[0], run(R"({"max_new_tokens": 8, "eos_token_id": null})")[0]);
  EXPECT_EQ(code_of([&] {
              generate(model_.model(), nullptr, prompt_.inputs(),
                       call_of(R"({"max_length": 12, "cache_implementation": "paged"})"), {});
            }),
            ErrorCode::kUnsupported);
  inputs.input_ids = prompt_.inputs().input_ids;
  EXPECT_EQ(code_of([&] { generate(model_.model(), nullptr, inputs, call, {}); }),
            ErrorCode::kInvalidArgument);
}

TEST_F(GenerateOnCheckpoint, AQuantizedCacheIsExactAtItsEnd) {
  const std::string call = R"({"max_new_tokens": 9, "num_beams": 2, "cache_implementation")";
  EXPECT_EQ(run(call + R"(: "quantized", "cache_config": {"q_group_size": 16}})"),
            run(call + R"(: "dynamic"})"));
  EXPECT_EQ(code_of([&] {
              run(R"({"cache_implementation": "quantized", "cache_config": {"nbits": 3}})");
            }),
            ErrorCode::kInvalidArgument);
}

TEST_F(GenerateOnCheckpoint, AnOffloadedCacheIsTheOneAskedFor) {
  const struct {
    const char* name;
    bool offloading;
    std::int64_t capacity;
    bool assisted_warns;
  } cases[] = {{"dynamic", false, -1, false},
               {"offloaded", true, -1, false},
               {"static", false, 14, true},
               {"offloaded_static", true, 14, true}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto call = call_of(R"({"max_new_tokens": 4, "return_dict_in_generate": true})");
    call.cache_implementation = c.name;
    const auto output = generate(model_.model(), nullptr, prompt_.inputs(), call, {});
    EXPECT_THAT(output.warnings, testing::IsEmpty());
    EXPECT_EQ(output.past_key_values->impl().options.offloading, c.offloading);
    EXPECT_EQ(output.past_key_values->get_max_cache_shape(), c.capacity);
    const auto assisted = generate(model_.model(), &assistant_.model(), prompt_.inputs(), call, {});
    EXPECT_EQ(assisted.past_key_values->impl().options.offloading, c.offloading);
    EXPECT_EQ(!assisted.warnings.empty(), c.assisted_warns);
    EXPECT_EQ(rows_of(assisted), rows_of(output));
  }
}

TEST_F(GenerateOnCheckpoint, BeamsShareAGivenCache) {
  const auto cache = std::make_shared<DynamicCache>();
  (void)model_.model().forward(
      {.input_ids = test::view(prompt_.ids, {1, 5}), .past_key_values = cache});
  GenerateInputs inputs = prompt_.inputs();
  inputs.past_key_values = cache;
  const auto call = call_of(R"({"max_new_tokens": 9, "num_beams": 3})");
  EXPECT_EQ(rows_of(generate(model_.model(), nullptr, inputs, call, {})),
            run(R"({"max_new_tokens": 9, "num_beams": 3})"));
}

}  // namespace
}  // namespace m2
