// Random outputs, parsed as an independent implementation of the rules parses them
// (tools/make_chat_goldens.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "parse_support.h"
#include "support/paths.h"

namespace m2 {
namespace {

using Json = nlohmann::json;

ChatParserOptions options_of(const Json& json, const std::string& tools) {
  ChatParserOptions options;
  options.tools_json = tools;
  options.tools_active = json.at("tools_active");
  options.parse_reasoning = json.at("parse_reasoning");
  options.starts_in_reasoning = json.at("starts_in_reasoning");
  options.parallel_tool_calls = json.at("parallel_tool_calls");
  options.trim_values = json.at("trim_values") == "newlines" ? TrimValues::kNewlines
                        : json.at("trim_values") == "strip"  ? TrimValues::kStrip
                                                             : TrimValues::kOff;
  options.unknown_tools = json.at("unknown_tools") == "drop"      ? UnknownTools::kDrop
                          : json.at("unknown_tools") == "content" ? UnknownTools::kContent
                                                                  : UnknownTools::kForward;
  return options;
}

test::Parsed expected_of(const Json& json) {
  test::Parsed parsed;
  parsed.reasoning = json.at("reasoning");
  parsed.content = json.at("content");
  parsed.finish_reason = json.at("finish_reason");
  for (const Json& call : json.at("calls")) {
    parsed.calls.push_back(call.at(0).get<std::string>() + " " + call.at(1).get<std::string>() +
                           (call.at(2).get<bool>() ? " ." : ""));
  }
  return parsed;
}

TEST(OutputGolden, AgreesWithTheReference) {
  const Json golden = Json::parse(test::read_file(test::golden_path("chat/output.json")));
  const std::string tools = golden.at("tools").dump();
  int disagreements = 0;
  for (const Json& item : golden.at("cases")) {
    const std::string text = item.at("text");
    const OutputEnd end = item.at("end") == "length" ? OutputEnd::kLength : OutputEnd::kStop;
    const test::Parsed parsed = test::parse(text, options_of(item.at("options"), tools), end);
    const test::Parsed expected = expected_of(item.at("expected"));
    if (parsed == expected) continue;
    ++disagreements;
    if (disagreements <= 5) {
      EXPECT_EQ(parsed, expected) << item.dump(1);
    }
  }
  EXPECT_EQ(disagreements, 0) << "of " << golden.at("cases").size();
}

}  // namespace
}  // namespace m2
