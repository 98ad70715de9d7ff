// Conversations prepared and rendered as a Python implementation and Jinja2 do it
// (tools/make_chat_goldens.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "render_support.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kShippedIdentity = "You are tiny-agent, a small assistant.";

std::string text_of(const Json& item, const char* key) {
  return item.contains(key) ? item.at(key).dump() : "";
}

ChatRequest request_of(const Json& item) {
  const Json options = item.value("options", Json::object());
  ChatRequest request;
  request.messages_json = text_of(item, "messages");
  request.tools_json = text_of(item, "tools");
  request.template_kwargs_json = text_of(item, "kwargs");
  request.add_generation_prompt = options.value("add_generation_prompt", true);
  request.continue_final_message = options.value("continue_final_message", false);
  request.enable_thinking = options.value("enable_thinking", true);
  request.lenient_arguments = options.value("lenient_arguments", false);
  if (options.value("tool_content", "") == "join") request.tool_content = ToolContent::kJoin;
  const std::string late = options.value("late_system", "");
  if (late == "append") request.late_system = LateSystem::kAppend;
  if (late == "error") request.late_system = LateSystem::kError;
  return request;
}

void check(const ChatTemplate& chat_template, const ChatRequest& request, const Json& expected,
           const std::string& name) {
  try {
    const RenderedPrompt prompt = chat_template.render(request);
    ASSERT_TRUE(expected.contains("prompt")) << name << ": expected an error";
    EXPECT_EQ(prompt.text, expected.at("prompt").get<std::string>()) << name;
    EXPECT_EQ(prompt.starts_in_reasoning, expected.at("starts_in_reasoning").get<bool>()) << name;
  } catch (const Error& error) {
    ASSERT_TRUE(expected.contains("error")) << name << ": " << error.what();
    const std::string message = expected.at("error");
    EXPECT_EQ(std::string(error.what()).substr(0, message.size()), message) << name;
  }
}

Json golden_cases() {
  return Json::parse(test::read_file(test::golden_path("chat/prompts.json"))).at("cases");
}

TEST(PromptGolden, AgreesWithJinja2) {
  for (const Json& item : golden_cases()) {
    check(test::shipped_template(), request_of(item), item.at("expected"), item.at("name"));
  }
}

// The shipped template follows the published ones; only the identity differs.
TEST(PromptGolden, PublishedTemplatesRenderTheSame) {
  for (const char* file : {"chat_template.jinja", "chat_template_m2.7.jinja"}) {
    const auto published = test::published_template(file);
    if (!published) GTEST_SKIP() << "the published chat templates are absent";
    for (const Json& item : golden_cases()) {
      ChatRequest request = request_of(item);
      if (request.template_kwargs_json.empty()) {
        request.template_kwargs_json = Json{{"model_identity", kShippedIdentity}}.dump();
      }
      check(*published, request, item.at("expected"), item.at("name"));
    }
  }
}

}  // namespace
}  // namespace m2
