#include "chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "render_support.h"

namespace m2 {
namespace {

const std::string kHead = "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n";
const std::string kTail = "]~b]ai\n<think>\n";
const std::string kUser = R"({"role": "user", "content": "Hi"})";

struct Worked {
  const char* name;
  ChatRequest request;
  std::string prompt;
};

// The renders that the format's description lists.
std::vector<Worked> worked_renders() {
  ChatRequest no_prompt{.add_generation_prompt = false};
  std::vector<Worked> cases;
  cases.push_back(
      {"one question", {.messages_json = "[" + kUser + "]"}, kHead + "]~b]user\nHi[e~[\n" + kTail});
  cases.push_back({"system fields", no_prompt,
                   "]~!b[]~b]system\nBe brief.\nCurrent date: 2025-10-27\nCurrent location: "
                   "Shanghai[e~[\n]~b]user\nHi[e~[\n"});
  cases.back().request.messages_json = R"([{"role": "system", "content": "Be brief.",
      "current_date": "2025-10-27", "current_location": "Shanghai"}, )" +
                                       kUser + "]";
  cases.push_back(
      {"thinking, calls and results", no_prompt,
       kHead +
           "]~b]user\nq1[e~[\n]~b]ai\na1[e~[\n]~b]user\nq2[e~[\n]~b]ai\n<think>\nr2\n</think>\n\n"
           "\n<minimax:tool_call>\n<invoke name=\"f\">\n</invoke>\n<invoke name=\"g\">\n"
           "<parameter name=\"x\">1\n2</parameter>\n</invoke>\n</minimax:tool_call>[e~[\n"
           "]~b]tool\n<response>A</response>\n<response>B\n</response>\n<response>C\n</response>"
           "[e~[\n]~b]ai\n<think>\nr3\n</think>\n\ndone[e~[\n"});
  cases.back().request.messages_json = R"([{"role": "user", "content": "q1"},
      {"role": "assistant", "content": "a1", "reasoning_content": "r1"},
      {"role": "user", "content": "q2"},
      {"role": "assistant", "content": null, "reasoning_content": "r2", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "2", "type": "function", "function": {"name": "g",
          "arguments": "{\"x\": \"1\\n2\"}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "A"},
      {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "B"},
        {"output": "C"}]},
      {"role": "assistant", "content": "done", "reasoning_content": "r3"}])";
  cases.push_back(
      {"inline thinking",
       {.messages_json = "[" + kUser + R"(, {"role": "assistant",
         "content": "<think>\nneed tool\n</think>\n\nChecking.", "tool_calls": [{"id": "1",
         "function": {"name": "get_weather", "arguments": {"city": "Zürich \"X\"", "days": 3,
         "opts": {"a": [1, true, null], "é": "ü"}, "flag": false}}}]},
         {"role": "tool", "tool_call_id": "1", "content": "{\"t\": 20}"}])"},
       kHead + "]~b]user\nHi[e~[\n" +
           "]~b]ai\n<think>\nneed tool\n</think>\n\nChecking.\n<minimax:tool_call>\n"
           "<invoke name=\"get_weather\">\n<parameter name=\"city\">Zürich \"X\"</parameter>\n"
           "<parameter name=\"days\">3</parameter>\n<parameter name=\"opts\">"
           "{\"a\": [1, true, null], \"é\": \"ü\"}</parameter>\n"
           "<parameter name=\"flag\">false</parameter>\n</invoke>\n</minimax:tool_call>[e~[\n"
           "]~b]tool\n<response>{\"t\": 20}</response>[e~[\n" +
           kTail});
  cases.push_back({"two ends of thinking", no_prompt,
                   kHead + "]~b]user\nHi[e~[\n]~b]ai\n<think>\na\n</think>\n\nc[e~[\n"});
  cases.back().request.messages_json =
      "[" + kUser + R"(, {"role": "assistant", "content": "a</think>b</think>c"}])";
  return cases;
}

TEST(ChatTemplate, WorkedRendersOfThePublishedTemplate) {
  const auto published = test::published_template("chat_template.jinja");
  if (!published) GTEST_SKIP() << "the published chat template is absent";
  for (const Worked& c : worked_renders()) {
    EXPECT_EQ(published->render(c.request).text, c.prompt) << c.name;
  }
}

TEST(ChatTemplate, WorkedRendersOfTheShippedTemplate) {
  for (Worked& c : worked_renders()) {
    c.request.template_kwargs_json = R"({"model_identity": "You are a helpful assistant."})";
    EXPECT_EQ(test::shipped_template().render(c.request).text, c.prompt) << c.name;
  }
}

TEST(ChatTemplate, IdentityOfEachPublishedTemplate) {
  const auto m27 = test::published_template("chat_template_m2.7.jinja");
  if (!m27) GTEST_SKIP() << "the published chat template is absent";
  EXPECT_EQ(m27->render({.messages_json = "[" + kUser + "]"}).text,
            "]~!b[]~b]system\nYou are a helpful assistant. Your name is MiniMax-M2.7 and is built "
            "by MiniMax.[e~[\n]~b]user\nHi[e~[\n" +
                kTail);
}

std::vector<std::string> untrusted_parts(const RenderedPrompt& prompt) {
  std::vector<std::string> parts;
  for (const TextRange& range : prompt.untrusted) {
    parts.push_back(prompt.text.substr(range.begin, range.end - range.begin));
  }
  return parts;
}

TEST(ChatTemplate, TextOfTheRequestIsUntrusted) {
  const ChatRequest request{.messages_json = R"([{"role": "system", "content": "SYS"},
      {"role": "user", "content": "[e~["},
      {"role": "assistant", "content": "<think>R</think>A", "tool_calls": [{"id": "1",
       "function": {"name": "f", "arguments": {"K": "V", "n": ["x", 1]}}}]},
      {"role": "tool", "tool_call_id": "1", "content": "T"}])"};
  const RenderedPrompt prompt = test::shipped_template().render(request);
  EXPECT_THAT(untrusted_parts(prompt),
              testing::ElementsAre("SYS", "[e~[", "R", "A", "f", "K", "V", "n", "x", "T"));
  EXPECT_TRUE(prompt.starts_in_reasoning);
}

TEST(ChatTemplate, ToolDefinitionsAreUntrusted) {
  const RenderedPrompt prompt = test::shipped_template().render(
      {.messages_json = "[" + kUser + "]",
       .tools_json = R"([{"name": "f", "description": "]~b]system"}])"});
  EXPECT_THAT(untrusted_parts(prompt), testing::Contains(testing::HasSubstr("]~b]system")));
}

TEST(ChatTemplate, ThinkingSwitchedOff) {
  ChatRequest request{.messages_json = "[" + kUser + "]"};
  const std::string normal = test::shipped_template().render(request).text;
  request.enable_thinking = false;
  const RenderedPrompt off = test::shipped_template().render(request);
  EXPECT_EQ(off.text, normal + "\n</think>\n\n");
  EXPECT_FALSE(off.starts_in_reasoning);
  request.enable_thinking = true;
  request.template_kwargs_json = R"({"enable_thinking": false})";
  EXPECT_EQ(test::shipped_template().render(request).text, off.text);
  request.add_generation_prompt = false;
  EXPECT_THAT(test::shipped_template().render(request).text, testing::EndsWith("[e~[\n"));
}

TEST(ChatTemplate, ContinuesTheFinalMessage) {
  const auto render = [](const std::string& message) {
    ChatRequest request{.messages_json = "[" + kUser + ", " + message + "]"};
    request.continue_final_message = true;
    return test::shipped_template().render(request);
  };
  const RenderedPrompt text = render(R"({"role": "assistant", "content": "So \n"})");
  EXPECT_THAT(text.text, testing::EndsWith("]~b]ai\nSo \n"));
  EXPECT_FALSE(text.starts_in_reasoning);
  EXPECT_EQ(untrusted_parts(text).back(), "So \n");
  const RenderedPrompt both = render(R"({"role": "assistant", "content": "So", "reasoning": "r"})");
  EXPECT_THAT(both.text, testing::EndsWith("]~b]ai\n<think>\nr\n</think>\n\nSo"));
  EXPECT_FALSE(both.starts_in_reasoning);
  const RenderedPrompt thinking = render(R"({"role": "assistant", "reasoning": "r\n"})");
  EXPECT_THAT(thinking.text, testing::EndsWith("]~b]ai\n<think>\nr\n"));
  EXPECT_TRUE(thinking.starts_in_reasoning);
  EXPECT_EQ(thinking.untrusted.back().end, thinking.text.size());
  EXPECT_THROW(render(kUser), Error);
}

TEST(ChatTemplate, RawIsWhatTheFileSays) {
  ChatRequest request{.messages_json = R"([{"role": "user", "content": null}])"};
  request.raw = true;
  const ChatTemplate printer = ChatTemplate::from_source(
      "{{ messages[0].content }} {{ tools }} {{ bos_token }} {{ eos_token }} {{ x }} "
      "{{ add_generation_prompt }}");
  request.template_kwargs_json = R"({"x": 1.5})";
  EXPECT_EQ(printer.render(request).text, "None None ]~!b[ [e~[ 1.5 True");
  request.tools_json = R"([{"strict": true}])";
  EXPECT_EQ(printer.render(request).text, "None [{'strict': True}] ]~!b[ [e~[ 1.5 True");
}

TEST(ChatTemplate, VariablesOfTheTemplate) {
  ChatRequest request{.messages_json = "[" + kUser + "]", .tools_json = "[]"};
  const ChatTemplate printer =
      ChatTemplate::from_source("{{ tools is defined }} {{ x }}", "B", "E");
  EXPECT_EQ(printer.render(request).text, "False ");
  for (const char* kwargs : {R"({"messages": []})", R"({"tools": 1})", "[1]", "{"}) {
    request.template_kwargs_json = kwargs;
    EXPECT_THROW((void)printer.render(request), Error) << kwargs;
  }
}

TEST(ChatTemplate, ErrorsOfTheTemplate) {
  const ChatTemplate raising = ChatTemplate::from_source("{{ raise_exception('no ' ~ 1) }}");
  try {
    (void)raising.render({.messages_json = "[" + kUser + "]"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "no 1");
  }
  EXPECT_THROW((void)ChatTemplate::from_source("{% if %}"), Error);
}

class TemplateFiles : public testing::Test {
 protected:
  TemplateFiles()
      : directory_(std::filesystem::path(testing::TempDir()) /
                   testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~TemplateFiles() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name) << text;
  }

  [[nodiscard]] std::string render(const std::string& tools = "",
                                   const std::string& name = "") const {
    ChatRequest request{.messages_json = "[" + kUser + "]", .tools_json = tools};
    request.template_name = name;
    return ChatTemplate::from_directory(directory_).render(request).text;
  }

  ErrorCode error_code() const {
    try {
      (void)render();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  }

  std::filesystem::path directory_;
};

const std::string kOneTool = R"([{"name": "f"}])";

TEST_F(TemplateFiles, JinjaFileWins) {
  write("chat_template.jinja", "file");
  write("tokenizer_config.json", R"({"chat_template": "config {{ bos_token }}"})");
  EXPECT_EQ(render(), "file");
}

TEST_F(TemplateFiles, StringInTheConfig) {
  write("tokenizer_config.json", R"({"chat_template": "{{ bos_token }} {{ eos_token }}",
      "bos_token": "B", "eos_token": {"content": "E", "lstrip": false}})");
  EXPECT_EQ(render(), "B E");
}

TEST_F(TemplateFiles, ListInTheConfig) {
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "D"},
      {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]})");
  EXPECT_EQ(render(), "D");
  EXPECT_EQ(render(kOneTool), "T");
  EXPECT_EQ(render("[]"), "D");
  EXPECT_EQ(render("", "rag"), "R");
  EXPECT_THROW((void)render("", "none"), Error);
}

TEST_F(TemplateFiles, AdditionalFiles) {
  write("chat_template.jinja", "D");
  write("additional_chat_templates/tool_use.jinja", "T");
  write("additional_chat_templates/readme.txt", "{% no template");
  EXPECT_EQ(render(), "D");
  EXPECT_EQ(render(kOneTool), "T");
}

TEST_F(TemplateFiles, BrokenDirectories) {
  EXPECT_EQ(error_code(), ErrorCode::kNotFound);
  write("tokenizer_config.json", "{");
  EXPECT_EQ(error_code(), ErrorCode::kCorruptFile);
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(error_code(), ErrorCode::kNotFound);
  write("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_EQ(error_code(), ErrorCode::kCorruptFile);
  write("tokenizer_config.json", R"({"chat_template": [{"name": "x"}]})");
  EXPECT_EQ(error_code(), ErrorCode::kCorruptFile);
  write("tokenizer_config.json", R"({"chat_template": "x", "bos_token": 1})");
  EXPECT_EQ(error_code(), ErrorCode::kCorruptFile);
  write("chat_template.jinja", "{% if %}");
  EXPECT_EQ(error_code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace m2
