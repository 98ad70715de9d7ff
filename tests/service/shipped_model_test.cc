// The shipped model from messages to text, against what transformers made of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "model/causal_lm.h"
#include "service/chat_session.h"
#include "service/loaded_model.h"
#include "service/text_generation.h"
#include "support/paths.h"
#include "support/views.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

class ShippedModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    loaded_ = std::make_unique<LoadedModel>(test::shipped_model(), FromPretrainedOptions{});
    generator_ = std::make_unique<TextGenerator>(*loaded_, TextGeneratorOptions{});
  }
  static void TearDownTestSuite() {
    generator_.reset();
    loaded_.reset();
  }

  static ChatSession session(ChatSessionOptions options = {}) {
    return {*generator_, ChatTemplate::from_directory(test::shipped_model()), std::move(options)};
  }

  static std::unique_ptr<LoadedModel> loaded_;
  static std::unique_ptr<TextGenerator> generator_;
};

std::unique_ptr<LoadedModel> ShippedModel::loaded_;
std::unique_ptr<TextGenerator> ShippedModel::generator_;

Json golden_cases() {
  return Json::parse(test::read_file(test::golden_path("tiny_agent/greedy.json")))["cases"];
}

TEST_F(ShippedModel, GreedyRepliesAreThoseOfTransformers) {
  const ChatTemplate chat_template = ChatTemplate::from_directory(test::shipped_model());
  for (const Json& item : golden_cases()) {
    SCOPED_TRACE(item["name"].get<std::string>());
    ChatRequest request = {.messages_json = item["messages"].dump()};
    if (!item["tools"].empty()) request.tools_json = item["tools"].dump();
    const RenderedPrompt prompt = chat_template.render(request);
    EXPECT_EQ(prompt.text, item["prompt"].get<std::string>());
    const auto ids = loaded_->tokenizer().encode_ids(TextInput(prompt.text, prompt.untrusted));
    ASSERT_EQ(ids, item["prompt_ids"].get<std::vector<TokenId>>());
    GenerationConfig call;
    call.max_new_tokens = 64;
    const TextResult result = generator_->generate(ids, call, {});
    EXPECT_EQ(result.ids, item["new_ids"].get<std::vector<TokenId>>());
  }
}

TEST_F(ShippedModel, LogitsAreWithinTheBound) {
  const SafetensorsFile golden(test::golden_path("tiny_agent/logits.safetensors"));
  double worst = 0;
  for (const Json& item : golden_cases()) {
    std::string key = item["name"];
    std::ranges::replace(key, ' ', '_');
    for (const auto& entry : golden.entries()) {
      if (!entry.name.starts_with(key + ".")) continue;
      auto ids = item["prompt_ids"].get<std::vector<std::int32_t>>();
      const auto new_ids = item["new_ids"].get<std::vector<std::int32_t>>();
      if (entry.name.ends_with(".last")) ids.insert(ids.end(), new_ids.begin(), new_ids.end() - 1);
      const auto outputs = loaded_->causal_lm().forward(
          {.input_ids = test::view(ids, {1, static_cast<std::int64_t>(ids.size())}),
           .use_cache = false,
           .logits_to_keep = 1});
      const std::int64_t vocab = loaded_->config().vocab_size;
      const float* ours = outputs.logits.as<float>();
      const auto* theirs = static_cast<const float*>(entry.view.data);
      for (std::int64_t i = 0; i < vocab; ++i) {
        worst = std::max(worst, static_cast<double>(std::abs(ours[i] - theirs[i])));
      }
    }
  }
  std::printf("parity tiny-agent         logits %.1e\n", worst);
  EXPECT_GT(worst, 0) << "nothing was compared";
  EXPECT_LE(worst, 1e-4);
}

TEST_F(ShippedModel, TextStopsBeforeAStopString) {
  ChatSession plain = session();
  plain.add_user("What is 17 + 25?");
  const auto ids = loaded_->tokenizer().encode_ids(plain.prompt());
  const TextResult whole = generator_->generate(ids, {}, {});
  GenerationConfig call;
  call.stop_strings = {{"carry"}};
  std::string streamed;
  const TextResult cut = generator_->generate(ids, call, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find("carry")));
  EXPECT_EQ(streamed, cut.text);
  EXPECT_EQ(cut.finish_reason, FinishReason::kStop);
  EXPECT_LT(cut.ids.size(), whole.ids.size());
}

TEST_F(ShippedModel, LimitsAndCancellationKeepTheGeneratorUsable) {
  const auto ids = loaded_->tokenizer().encode_ids("]~b]user\nHello![e~[\n]~b]ai\n<think>\n");
  GenerationConfig call;
  call.max_new_tokens = 3;
  const TextResult three = generator_->generate(ids, call, {});
  EXPECT_EQ(three.ids.size(), 3U);
  EXPECT_EQ(three.finish_reason, FinishReason::kLength);

  std::stop_source stop;
  const TextResult cancelled = generator_->generate(
      ids, {},
      [&](std::string_view) {
        stop.request_stop();
        return true;
      },
      stop.get_token());
  EXPECT_EQ(cancelled.finish_reason, FinishReason::kCancelled);
  EXPECT_LE(cancelled.ids.size(), 3U);

  const std::vector<TokenId> too_long(static_cast<std::size_t>(generator_->context()), 5);
  EXPECT_THROW((void)generator_->generate(too_long, {}, {}), Error);
  EXPECT_EQ(generator_->generate(ids, call, {}).ids, three.ids);
}

constexpr const char* kTools = R"([{"type": "function", "function": {"name": "get_weather",
  "description": "Get the current weather of a city", "parameters": {"type": "object",
  "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])";

TEST_F(ShippedModel, ConversationWithATool) {
  ChatSession chat = session({.tools_json = kTools});
  chat.add_user("What is the weather in Lisbon?");
  std::string arguments;
  const ChatReply call = chat.reply({}, [&](const ChatEvent& event) {
    if (const auto* delta = std::get_if<ToolCallArguments>(&event)) arguments += delta->text;
  });
  ASSERT_EQ(call.tool_calls.size(), 1U);
  EXPECT_EQ(call.finish_reason, "tool_calls");
  EXPECT_EQ(call.tool_calls[0].name, "get_weather");
  EXPECT_EQ(Json::parse(call.tool_calls[0].arguments_json), Json::parse(R"({"city": "Lisbon"})"));
  EXPECT_EQ(arguments, call.tool_calls[0].arguments_json);

  chat.add_tool_result(call.tool_calls[0].id, "19 degrees, windy");
  EXPECT_THAT(chat.prompt(), HasSubstr("<response>19 degrees, windy</response>"));
  EXPECT_THAT(chat.prompt(), HasSubstr("]~b]ai\n<think>\n")) << "the thinking of the call stays";
  const ChatReply answer = chat.reply({}, {});
  EXPECT_THAT(answer.message["content"].get<std::string>(), HasSubstr("19"));
  EXPECT_TRUE(answer.tool_calls.empty());
  // The first turn is not computed again, but for the block in which it ends.
  EXPECT_GT(answer.timings.cached_prompt_tokens,
            call.timings.prompt_tokens + call.timings.new_tokens - 40);
  EXPECT_LT(answer.timings.cached_prompt_tokens, answer.timings.prompt_tokens);

  chat.add_user("Thanks!");
  EXPECT_THAT(chat.prompt(), testing::Not(HasSubstr("</think>"))) << "earlier thinking is dropped";
  EXPECT_TRUE(chat.undo());
  EXPECT_TRUE(chat.undo());
  EXPECT_FALSE(chat.undo());
  EXPECT_TRUE(chat.messages().empty());
}

TEST_F(ShippedModel, ACallThatIsCutOffDoesNotSpoilTheHistory) {
  ChatSession chat = session({.tools_json = kTools});
  for (std::int64_t limit = 1; limit < 40; limit += 3) {
    chat.clear();
    chat.add_user("What is the weather in Lisbon?");
    GenerationConfig call;
    call.max_new_tokens = limit;
    const ChatReply reply = chat.reply(call, {});
    for (const ToolCall& complete : reply.tool_calls) {
      chat.add_tool_result(complete.id, "fine");
    }
    chat.add_user("And now?");
    EXPECT_NO_THROW((void)chat.prompt()) << "limit " << limit;
  }
}

}  // namespace
}  // namespace m2
