// Every rule of message preparation, seen through a template that prints the prepared messages.
#include "chat/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "render_support.h"

namespace m2 {
namespace {

using test::prepared_json;

// The one message besides a leading user message, prepared.
std::string prepared(const std::string& message) {
  const std::string all = prepared_json(R"([{"role": "user", "content": "q"}, )" + message + "]");
  const std::string head = R"([{"role": "user", "content": "q"}, )";
  EXPECT_EQ(all.substr(0, head.size()), head);
  return all.substr(head.size(), all.size() - head.size() - 1);
}

std::string error_of(const ChatRequest& request) {
  try {
    return "no error: " + prepared_json(request);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
}

std::string error_of(const std::string& messages) {
  return error_of(ChatRequest{.messages_json = messages});
}

TEST(PrepareMessages, Content) {
  EXPECT_EQ(prepared(R"({"role": "user", "content": null})"), R"({"role": "user", "content": ""})");
  EXPECT_EQ(prepared(R"({"role": "assistant"})"), R"({"role": "assistant", "content": ""})");
  EXPECT_EQ(prepared(R"({"role": "user", "content": [{"type": "input_text", "text": "a",
                         "cache_control": {}}, {"type": "refusal", "refusal": "b"}, "c"]})"),
            R"({"role": "user", "content": [{"type": "text", "text": "a"}, )"
            R"({"type": "text", "text": "b"}, "c"]})");
}

TEST(PrepareMessages, ContentErrors) {
  EXPECT_EQ(error_of(R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                         {"type": "image_url", "image_url": {}}]}])"),
            "messages[0].content[1].type: expected text, got image_url; the model accepts text "
            "only");
  EXPECT_EQ(error_of(R"([{"role": "user", "content": [{"text": "a"}]}])"),
            "messages[0].content[0].type: expected text, got nothing; the model accepts text only");
  EXPECT_EQ(error_of(R"([{"role": "user", "content": [3]}])"),
            "messages[0].content[0]: expected a text part, got number");
  EXPECT_EQ(error_of(R"([{"role": "user", "content": [{"type": "text", "text": 1}]}])"),
            "messages[0].content[0].text: expected a string, got number");
  EXPECT_EQ(error_of(R"([{"role": "user", "content": {}}])"),
            "messages[0].content: expected a string or a list of parts, got object");
}

TEST(PrepareMessages, ListErrors) {
  EXPECT_EQ(error_of("[]"),
            "messages: expected a list with at least one message, got an empty one");
  EXPECT_EQ(error_of("{}"), "messages: expected a list with at least one message, got object");
  EXPECT_EQ(error_of("[1]"), "messages[0]: expected an object, got number");
  EXPECT_EQ(error_of(R"([{"content": "x"}])"),
            "messages[0].role: expected system, developer, user, assistant, tool or function, got "
            "nothing");
  EXPECT_EQ(error_of(R"([{"role": "user"}, {"role": "critic"}])"),
            "messages[1].role: expected system, developer, user, assistant, tool or function, got "
            "critic");
  EXPECT_THAT(error_of("[{]"), testing::HasSubstr("messages: expected JSON: "));
  EXPECT_THAT(error_of(std::string(100'000, '[')), testing::HasSubstr("nested deeper than 256"));
}

TEST(PrepareMessages, OtherFieldsStayAndNameGoes) {
  EXPECT_EQ(prepared(R"({"role": "user", "content": "a", "name": "Ann", "x": {"y": 1}})"),
            R"({"role": "user", "content": "a", "x": {"y": 1}})");
}

TEST(PrepareMessages, SystemAtTheStartIsMerged) {
  EXPECT_EQ(prepared_json(R"([{"role": "developer", "content": "a", "current_date": "D"},
                              {"role": "system", "content": [{"type": "text", "text": "b"}, "c"],
                               "current_date": "E", "current_location": "L"},
                              {"role": "system", "content": ""}])"),
            R"([{"role": "system", "content": "a\n\nbc", "current_date": "D", )"
            R"("current_location": "L"}])");
  EXPECT_EQ(prepared_json(R"([{"role": "developer", "content": ["a"]}])"),
            R"([{"role": "system", "content": ["a"]}])");
}

TEST(PrepareMessages, LateSystem) {
  ChatRequest request{.messages_json = R"([{"role": "system", "content": "a"},
      {"role": "user", "content": "u"}, {"role": "developer", "content": ["b"]},
      {"role": "system", "content": "c"}])"};
  EXPECT_EQ(prepared_json(request),
            R"([{"role": "system", "content": "a"}, {"role": "user", "content": "u"}, )"
            R"({"role": "user", "content": ["b"]}, {"role": "user", "content": "c"}])");
  request.late_system = LateSystem::kAppend;
  EXPECT_EQ(prepared_json(request),
            R"([{"role": "system", "content": "a\n\nb\n\nc"}, {"role": "user", "content": "u"}])");
  request.late_system = LateSystem::kError;
  EXPECT_EQ(error_of(request), "messages[2].role: expected a system message only at the start");
}

TEST(PrepareMessages, Reasoning) {
  const std::string expected = R"({"role": "assistant", "content": "a", "reasoning_content": "r"})";
  for (const char* fields :
       {R"("reasoning_content": "r")", R"("reasoning": "r")",
        R"("reasoning_content": null, "reasoning": "r")",
        R"("reasoning": "x", "reasoning_content": "r")",
        R"("reasoning_details": [{"type": "reasoning.text", "text": "r"}, {"type": "other"}])"}) {
    EXPECT_EQ(prepared(std::string(R"({"role": "assistant", "content": "a", )") + fields + "}"),
              expected)
        << fields;
  }
  EXPECT_EQ(prepared(R"({"role": "assistant", "content": [{"type": "thinking", "thinking": "r"},
                         {"type": "redacted_thinking"}, {"type": "thinking", "thinking": "s"},
                         {"type": "text", "text": "a"}]})"),
            R"({"role": "assistant", "content": [{"type": "text", "text": "a"}], )"
            R"("reasoning_content": "rs"})");
  EXPECT_EQ(prepared(R"({"role": "assistant", "content": "<think>r</think>a",
                         "reasoning_details": []})"),
            R"({"role": "assistant", "content": "<think>r</think>a"})");
  EXPECT_EQ(prepared(R"({"role": "assistant", "content": "a", "reasoning_content": ""})"),
            R"({"role": "assistant", "content": "a", "reasoning_content": ""})");
  EXPECT_EQ(error_of(R"([{"role": "assistant", "reasoning": 1}])"),
            "messages[0].reasoning: expected a string, got number");
}

TEST(PrepareMessages, ToolCalls) {
  const auto arguments = [](const std::string& given) {
    const std::string message = prepared(
        R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": )"
        R"({"name": "f")" +
        given + "}}]}");
    const std::string head =
        R"({"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", )"
        R"("function": {"name": "f", "arguments": )";
    EXPECT_EQ(message.substr(0, head.size()), head);
    return message.substr(head.size(), message.size() - head.size() - 4);
  };
  EXPECT_EQ(arguments(R"(, "arguments": "{\"b\": 1, \"a\": [1.0, null]}")"),
            R"({"b": 1, "a": [1.0, null]})");
  EXPECT_EQ(arguments(R"(, "arguments": {"b": 1, "a": true})"), R"({"b": 1, "a": true})");
  EXPECT_EQ(arguments(R"(, "arguments": " ")"), "{}");
  EXPECT_EQ(arguments(R"(, "arguments": null)"), "{}");
  EXPECT_EQ(arguments(""), "{}");
  const std::string big = "12345678901234567890123456789012345678";
  EXPECT_EQ(arguments(R"(, "arguments": "{\"n\": -)" + big + R"(}")"), "{\"n\": -" + big + "}");
}

TEST(PrepareMessages, OtherFormsOfToolCalls) {
  EXPECT_EQ(prepared(R"({"role": "assistant", "tool_calls": []})"),
            R"({"role": "assistant", "content": ""})");
  const std::string expected =
      R"({"role": "assistant", "content": "", "tool_calls": [{"type": "function", )"
      R"("function": {"name": "f", "arguments": {}}}]})";
  EXPECT_EQ(prepared(R"({"role": "assistant", "function_call": {"name": "f", "arguments": ""}})"),
            expected);
  EXPECT_EQ(prepared(R"({"role": "assistant", "tool_calls": [{"name": "f"}]})"), expected);
}

TEST(PrepareMessages, ToolCallErrors) {
  const auto error_with = [](const std::string& calls) {
    return error_of(R"([{"role": "assistant", "tool_calls": )" + calls + "}]");
  };
  EXPECT_EQ(error_with("{}"), "messages[0].tool_calls: expected a list, got object");
  EXPECT_EQ(error_with("[1]"), "messages[0].tool_calls[0]: expected an object, got number");
  EXPECT_EQ(error_with(R"([{"function": {}}])"),
            "messages[0].tool_calls[0].function.name: expected a string, got nothing");
  EXPECT_EQ(error_with(R"([{"name": "f"}, {"name": "f", "arguments": "[1]"}])"),
            "messages[0].tool_calls[1].arguments: expected a JSON object, got [1]");
  EXPECT_EQ(error_with(R"([{"function": {"name": "f", "arguments": "{"}}])"),
            "messages[0].tool_calls[0].function.arguments: expected a JSON object, got {");
  EXPECT_EQ(error_with(R"([{"function": {"name": "f", "arguments": [1]}}])"),
            "messages[0].tool_calls[0].function.arguments: expected a JSON object, got array");
  EXPECT_EQ(error_with(R"([{"name": "f", "id": 1}])"),
            "messages[0].tool_calls[0].id: expected a string, got number");
  ChatRequest request{.messages_json = R"([{"role": "assistant", "tool_calls":
      [{"name": "f", "arguments": "{"}, {"name": "g", "arguments": [1]}]}])"};
  request.lenient_arguments = true;
  EXPECT_EQ(prepared_json(request),
            R"([{"role": "assistant", "content": "", "tool_calls": [)"
            R"({"type": "function", "function": {"name": "f", "arguments": {"arguments": "{"}}}, )"
            R"({"type": "function", "function": {"name": "g", "arguments": )"
            R"({"arguments": "[1]"}}}]}])");
}

std::string with_calls(const std::string& results) {
  return R"([{"role": "assistant", "tool_calls": [{"id": "1", "name": "f"},
      {"id": "2", "name": "g"}]}, )" +
         results + "]";
}

// The contents of all messages.
std::string contents(const std::string& messages) {
  return prepared_json(ChatRequest{.messages_json = messages},
                       "messages | map(attribute='content') | list");
}

TEST(PrepareMessages, ResultsFollowTheOrderOfTheCalls) {
  EXPECT_EQ(contents(with_calls(R"({"role": "tool", "tool_call_id": "2", "content": "B"},
                                   {"role": "tool", "tool_call_id": "1", "content": "A"})")),
            R"(["", "A", "B"])");
  EXPECT_EQ(contents(with_calls(R"({"role": "function", "name": "g", "content": "B"},
                                   {"role": "function", "name": "f", "content": "A"})")),
            R"(["", "A", "B"])");
  EXPECT_EQ(contents(with_calls(R"({"role": "tool", "content": "B"},
                                   {"role": "tool", "content": "A"},
                                   {"role": "tool", "content": "C"})")),
            R"(["", "B", "A", "C"])");
  EXPECT_EQ(contents(with_calls(R"({"role": "tool", "tool_call_id": "2", "content": "B"},
                                   {"role": "tool", "tool_call_id": "1", "content": "A"},
                                   {"role": "tool", "tool_call_id": "1", "content": "A2"})")),
            R"(["", "A", "A2", "B"])");
}

TEST(PrepareMessages, ResultErrors) {
  EXPECT_EQ(error_of(with_calls(R"({"role": "tool", "tool_call_id": "3"})")),
            "messages[1].tool_call_id: expected the id of a call of messages[0], got 3");
  EXPECT_EQ(error_of(with_calls(R"({"role": "tool", "tool_call_id": 3})")),
            "messages[1].tool_call_id: expected a string, got number");
  const std::string no_call =
      ": Message has tool role, but there was no previous assistant message with a tool call!";
  EXPECT_EQ(error_of(R"([{"role": "user"}, {"role": "tool"}])"), "messages[1]" + no_call);
  EXPECT_EQ(error_of(with_calls(R"({"role": "assistant"}, {"role": "function"})")),
            "messages[2]" + no_call);
}

TEST(PrepareMessages, MissingResultsAreWarnedOf) {
  const auto warnings = [](const std::string& messages) {
    return ChatTemplate::from_source("").render({.messages_json = messages}).warnings;
  };
  EXPECT_THAT(warnings(with_calls(R"({"role": "tool", "tool_call_id": "2"})")),
              testing::ElementsAre("messages[0].tool_calls[0]: there is no result of this call"));
  EXPECT_THAT(warnings(with_calls(R"({"role": "tool"}, {"role": "user"}, {"role": "tool"})")),
              testing::IsEmpty());
}

TEST(PrepareMessages, ToolContent) {
  ChatRequest request{.messages_json =
                          with_calls(R"({"role": "tool", "content": ["a", {"type": "text",
          "text": "b"}]}, {"role": "tool", "content": [{"output": 1, "type": "text", "text": "c"},
          {"type": "json", "k": 2}]})")};
  const std::string second =
      R"([{"output": 1, "type": "text", "text": "c"}, {"type": "json", "k": 2}]])";
  const std::string list = "messages[1:] | map(attribute='content') | list";
  EXPECT_EQ(prepared_json(request, list), R"([["a", {"type": "text", "text": "b"}], )" + second);
  request.tool_content = ToolContent::kJoin;
  EXPECT_EQ(prepared_json(request, list), R"(["a\nb", )" + second);
  EXPECT_THAT(error_of(with_calls(R"({"role": "tool", "content": [{"type": "image"}]})")),
              testing::HasSubstr("messages[1].content[0].type: expected text, got image"));
}

TEST(PrepareMessages, LargeRequestsTakeLinearTime) {
  std::string calls;
  std::string results;
  std::string systems;
  for (int i = 0; i < 5'000; ++i) {
    const std::string id = std::to_string(i);
    const std::string comma = i > 0 ? "," : "";
    calls += comma + R"({"id": ")" + id + R"(", "name": "f"})";
    results.insert(0, R"(,{"role": "tool", "tool_call_id": ")" + id + R"("})");
    systems += R"({"role": "system", "content": "some text"},)";
  }
  const std::string messages =
      "[" + systems + R"({"role": "assistant", "tool_calls": [)" + calls + "]}" + results + "]";
  EXPECT_EQ(prepared_json(ChatRequest{.messages_json = messages}, "messages | length"), "5002");
  std::string keys;
  for (int i = 0; i < 20'000; ++i) keys += "\"" + std::to_string(i) + "\": 0, ";
  EXPECT_THAT(error_of("[{" + keys + R"("role": "user"}])"), testing::HasSubstr("more than 10000"));
}

}  // namespace
}  // namespace m2
