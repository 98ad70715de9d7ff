#include "chat/output_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "parse_support.h"

namespace m2 {
namespace {

using test::options_with_tools;
using test::parse;
using test::Parsed;

struct Case {
  const char* name;
  std::string text;
  Parsed expected;
  OutputEnd end = OutputEnd::kStop;
};

void check(const std::vector<Case>& cases, const ChatParserOptions& options) {
  for (const Case& c : cases) EXPECT_EQ(parse(c.text, options, c.end), c.expected) << c.name;
}

const std::string kOpen = "<minimax:tool_call>";
const std::string kClose = "</minimax:tool_call>";

// The body of a call of f with the value of a, in the layout of the prompt.
std::string call_f(const std::string& value, const std::string& name = "f") {
  return kOpen + "\n<invoke name=\"" + name + "\">\n<parameter name=\"a\">" + value +
         "</parameter>\n</invoke>\n" + kClose;
}

TEST(OutputParser, WorkedExamples) {
  check(
      {
          {"plain", "r\n</think>\n\nHello\n", {"r", "Hello", {}, "stop"}},
          {"second end of thinking", "r</think>A</think>B", {"r", "AB", {}, "stop"}},
          {"no end of thinking", "no end", {"no end", "", {}, "stop"}},
          {"canonical call",
           "r\n</think>\n\n\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x\n"
           "</parameter>\n<parameter name=\"b\">7</parameter>\n</invoke>\n</minimax:tool_call>",
           {"r", "", {R"(f {"a": "x\n", "b": 7} .)"}, "tool_calls"}},
          {"call while thinking",
           "r<minimax:tool_call><invoke name='g'></invoke></minimax:tool_call>",
           {"r", "", {"g {} ."}, "tool_calls"}},
          {"text around a block",
           "r</think>A\n<minimax:tool_call>\n<invoke name=\"g\">\n</invoke>\n"
           "</minimax:tool_call>\nB",
           {"r", "A\n\nB", {"g {} ."}, "tool_calls"}},
          {"block without a call",
           "</think><minimax:tool_call>oops</minimax:tool_call>",
           {"", "<minimax:tool_call>oops</minimax:tool_call>", {}, "stop"}},
          {"value with an end tag",
           "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">1 </parameter> 2"
           "</parameter></invoke></minimax:tool_call>",
           {"", "", {R"(f {"a": "1 </parameter> 2"} .)"}, "tool_calls"}},
          {"values that do not fit and Python literals",
           "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"b\">x</parameter>"
           "<parameter name=\"c\">{'k': True}</parameter>",
           {"", "", {R"(f {"b": "x", "c": {"k": true}} .)"}, "tool_calls"}},
          {"cut by the token limit",
           "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">hel",
           {"", "", {R"(f {"a": "hel)"}, "length"},
           OutputEnd::kLength},
      },
      options_with_tools());
}

TEST(OutputParser, KnownDeviations) {
  const std::string call_g = kOpen + "<invoke name=\"g\"></invoke>" + kClose;
  check(
      {
          {"two blocks",
           "r</think>" + call_g + "\nmid\n" + call_g,
           {"r", "mid", {"g {} .", "g {} ."}, "tool_calls"}},
          {"several calls in a block",
           "r</think>" + kOpen + "<invoke name=\"g\"></invoke>\n<invoke name=\"f\"></invoke>" +
               kClose,
           {"r", "", {"g {} .", "f {} ."}, "tool_calls"}},
          {"second start of thinking", "<think>\nr</think>A", {"r", "A", {}, "stop"}},
          {"start of thinking later", "r<think>s</think>A", {"r<think>s", "A", {}, "stop"}},
          {"thinking again before content",
           "r\n</think>\n\n<think>\ns\n</think>\nA",
           {"r\n\ns", "A", {}, "stop"}},
          {"start of thinking in content", "r</think>A<think>B", {"r", "A<think>B", {}, "stop"}},
          {"start of thinking after a call",
           "r</think>" + call_g + "<think>",
           {"r", "<think>", {"g {} ."}, "tool_calls"}},
          {"end of a block while thinking",
           "r</minimax:tool_call>s",
           {"r</minimax:tool_call>s", "", {}, "stop"}},
          {"tags without their first character",
           "r</think>minimax:tool_call>\ninvoke name=\"f\">",
           {"r", "minimax:tool_call>\ninvoke name=\"f\">", {}, "stop"}},
          {"white space only", " \n\t</think> \n ", {"", "", {}, "stop"}},
          {"inner newlines stay", "\n\n r\n\ns \n\n</think>\n", {" r\n\ns ", "", {}, "stop"}},
      },
      options_with_tools());
}

TEST(OutputParser, BlocksEndEarly) {
  const std::string open_call = "</think>" + kOpen + "<invoke name=\"g\"></invoke>";
  check(
      {
          {"text, then the end tag",
           open_call + "\n text " + kClose + kClose,
           {"", " text " + kClose, {"g {} ."}, "tool_calls"}},
          {"space before the text is kept",
           "</think>A" + kOpen + "<invoke name=\"g\"></invoke>\n text",
           {"", "A\n text", {"g {} ."}, "tool_calls"}},
          {"a new block forgets the missing end",
           open_call + "x" + kOpen + "<invoke name=\"g\"></invoke>" + kClose + kClose,
           {"", "x" + kClose, {"g {} .", "g {} ."}, "tool_calls"}},
          {"output ends between calls", open_call + " \n", {"", "", {"g {} ."}, "tool_calls"}},
          {"output ends inside the end tag",
           open_call + "\n</minimax:too",
           {"", "</minimax:too", {"g {} ."}, "tool_calls"}},
          {"next block without an end tag",
           open_call + kOpen + "<invoke name=\"g\"></invoke>" + kClose,
           {"", "", {"g {} .", "g {} ."}, "tool_calls"}},
          {"invoke without an end",
           "</think>" + kOpen + "<invoke name=\"g\"><invoke name=\"g\">" + kClose + "A",
           {"", "A", {"g {} .", "g {} ."}, "tool_calls"}},
          {"text inside an invoke is dropped",
           "</think>" + kOpen + "<invoke name=\"f\">foo </parameter> </think><x><b" +
               "<parameter name=\"a\">v</parameter></invoke>" + kClose,
           {"", "", {R"(f {"a": "v"} .)"}, "tool_calls"}},
          {"unfinished start of a block",
           "r" + kOpen + "\n<invoke na",
           {"r" + kOpen + "\n<invoke na", "", {}, "stop"}},
      },
      options_with_tools());
}

TEST(OutputParser, Headers) {
  const auto call = [](const std::string& header) { return "</think>" + kOpen + header; };
  const auto found = [](const std::string& name) {
    return Parsed{"", "", {name + " {} ."}, "tool_calls"};
  };
  const auto text = [](const std::string& header) {
    return Parsed{"", kOpen + header, {}, "stop"};
  };
  check(
      {
          {"double quotes", call("<invoke name=\"g\">"), found("g")},
          {"single quotes", call("\n<invoke\n name='a\"b'>"), found("a\"b")},
          {"bare", call("<invoke name=g>"), found("g")},
          {"bare with a blank", call("<invoke name = g >"), found("g")},
          {"trimmed", call("<invoke \r\n name=\" g \" >"), found("g")},
          {"inner blank and bracket", call("<invoke name=\"a >b\">"), found("a >b")},
          {"empty", call("<invoke name=\"\">"), text("<invoke name=\"\">")},
          {"blank", call("<invoke name=' '>"), text("<invoke name=' '>")},
          {"empty bare", call("<invoke name=>"), text("<invoke name=>")},
          {"newline in quotes", call("<invoke name=\"a\nb\">"), text("<invoke name=\"a\nb\">")},
          {"newline after bare", call("<invoke name=a\n>"), text("<invoke name=a\n>")},
          {"no space", call("<invokename=a>"), text("<invokename=a>")},
          {"other attribute", call("<invoke id=a>"), text("<invoke id=a>")},
          {"more attributes", call("<invoke name=\"a\" x>"), text("<invoke name=\"a\" x>")},
      },
      options_with_tools());
}

TEST(OutputParser, RecoversMissingParameterEnd) {
  const std::string start = "</think>" + kOpen + "<invoke name=\"f\"><parameter name=\"a\">";
  const std::string tail = "</parameter></invoke>" + kClose;
  check(
      {
          {"next declared parameter at a line start",
           start + "x\r\n\n<parameter name=\"b\">1" + tail,
           {"", "", {R"(f {"a": "x", "b": 1} .)"}, "tool_calls"}},
          {"not at a line start",
           start + "x <parameter name=\"b\">1" + tail,
           {"", "", {R"(f {"a": "x <parameter name=\"b\">1"} .)"}, "tool_calls"}},
          {"not declared",
           start + "x\n<parameter name=\"z\">1" + tail,
           {"", "", {R"(f {"a": "x\n<parameter name=\"z\">1"} .)"}, "tool_calls"}},
          {"given already",
           start + "x\n<parameter name=\"a\">1" + tail,
           {"", "", {R"(f {"a": "x\n<parameter name=\"a\">1"} .)"}, "tool_calls"}},
          {"other spelling",
           start + "x\n<parameter name='b'>1" + tail,
           {"", "", {R"(f {"a": "x\n<parameter name='b'>1"} .)"}, "tool_calls"}},
          {"end of the invoke and of the block at the end",
           start + "x\n</invoke>\n</minimax:tool_call>\n",
           {"", "", {R"(f {"a": "x"} .)"}, "tool_calls"}},
          {"end of the invoke and of the block in the middle",
           start + "x\n</invoke>\n</minimax:tool_call>\ny" + tail,
           {"", "", {R"(f {"a": "x\n</invoke>\n</minimax:tool_call>\ny"} .)"}, "tool_calls"}},
          {"next call of a declared tool",
           start + "x\n\n</invoke>\n<invoke name=\"g\"></invoke>" + kClose,
           {"", "", {R"(f {"a": "x"} .)", "g {} ."}, "tool_calls"}},
          {"next call of another tool",
           start + "x\n</invoke><invoke name=\"h\">" + tail,
           {"", "", {R"(f {"a": "x\n</invoke><invoke name=\"h\">"} .)"}, "tool_calls"}},
          {"end of the invoke at the end",
           start + "x</invoke> ",
           {"", "", {R"(f {"a": "x"} .)"}, "tool_calls"}},
          {"end of the block at the end",
           start + "x\n</minimax:tool_call>",
           {"", "", {R"(f {"a": "x"} .)"}, "tool_calls"}},
          {"end of the block, then text",
           start + "x</minimax:tool_call>y",
           {"", "", {R"(f {"a": "x</minimax:tool_call>y"} .)"}, "tool_calls"}},
          {"end of the output", start + "x\n", {"", "", {R"(f {"a": "x\n"} .)"}, "tool_calls"}},
          {"part of a tag at the end",
           start + "x</param",
           {"", "", {R"(f {"a": "x</param"} .)"}, "tool_calls"}},
      },
      options_with_tools());
}

TEST(OutputParser, ParameterEndNeedsATagBehindIt) {
  const std::string start = "</think>" + kOpen + "<invoke name=\"f\"><parameter name=\"a\">";
  check(
      {
          {"end of the block",
           start + "x</parameter>" + kClose,
           {"", "", {R"(f {"a": "x"} .)"}, "tool_calls"}},
          {"parameter",
           start + "x\n</parameter>\t<parameter name=b>1</parameter>",
           {"", "", {R"(f {"a": "x\n", "b": 1} .)"}, "tool_calls"}},
          {"invoke",
           start + "x</parameter> <invoke name=h>",
           {"", "", {R"(f {"a": "x"} .)", "h {} ."}, "tool_calls"}},
          {"end of the output",
           start + "x</parameter> \n",
           {"", "", {R"(f {"a": "x"} .)"}, "tool_calls"}},
          {"another end",
           start + "x</parameter></parameter>",
           {"", "", {R"(f {"a": "x</parameter>"} .)"}, "tool_calls"}},
          {"part of a tag",
           start + "x</parameter></inv",
           {"", "", {R"(f {"a": "x</parameter></inv"} .)"}, "tool_calls"}},
      },
      options_with_tools());
}

TEST(OutputParser, ValuesAreVerbatim) {
  const std::string value = "  &lt;a&gt; \"q\" \\ /é\b\f\x01\x7f\t\n";
  EXPECT_EQ(parse("</think>" + call_f(value)).calls.at(0),
            "f {\"a\": \"  &lt;a&gt; \\\"q\\\" \\\\ /é\\b\\f\\u0001\x7f\\t\\n\"} .");
}

TEST(OutputParser, RepeatedParameterIsWrittenAgain) {
  EXPECT_EQ(parse("</think>" + kOpen +
                  "<invoke name=f><parameter name=b>1</parameter><parameter name=b>2</parameter>")
                .calls.at(0),
            R"(f {"b": 1, "b": 2} .)");
}

TEST(OutputParser, CutByTheTokenLimit) {
  const std::string start = "</think>" + kOpen + "<invoke name=\"f\">";
  const std::string open_a = start + "<parameter name=\"a\">";
  const auto cut = [](const std::string& arguments) {
    return Parsed{"", "", {"f " + arguments}, "length"};
  };
  const OutputEnd end = OutputEnd::kLength;
  check(
      {
          {"before a parameter", start, cut(""), end},
          {"in a header", start + "<parameter na", cut(""), end},
          {"in a tag", open_a + "x</para", cut(R"({"a": "x)"), end},
          {"after newlines", open_a + "x\n\n", cut(R"({"a": "x)"), end},
          {"after newlines and part of a tag", open_a + "x\n\n</inv", cut(R"({"a": "x)"), end},
          {"in another parameter", open_a + "x\n<parameter name=\"b", cut(R"({"a": "x)"), end},
          {"in a tag that is none", open_a + "x\n<param1", cut(R"({"a": "x\n<param1)"), end},
          {"after the value", open_a + "x</parameter>", cut(R"({"a": "x")"), end},
          {"in another type",
           start + "<parameter name=\"b\">1</parameter><parameter name=\"c\">{\"x\"",
           cut(R"({"b": 1)"), end},
          {"after the call", open_a + "x</parameter></invoke>", cut(R"({"a": "x"} .)"), end},
          {"in thinking", "r\n", {"r", "", {}, "length"}, end},
          {"in a tag of thinking", "r\n</thi", {"r\n</thi", "", {}, "length"}, end},
      },
      options_with_tools());
}

TEST(OutputParser, InactiveToolsAreText) {
  ChatParserOptions options = options_with_tools();
  options.tools_active = false;
  const std::string call = call_f("1");
  EXPECT_EQ(parse("r</think>" + call, options), (Parsed{"r", call, {}, "stop"}));
  options = {};
  EXPECT_EQ(parse("r</think>" + call, options), (Parsed{"r", call, {}, "stop"}));
  options.tools_json = "[]";
  EXPECT_EQ(parse(call, options), (Parsed{call, "", {}, "stop"}));
}

TEST(OutputParser, ReasoningSwitchedOff) {
  ChatParserOptions options = options_with_tools();
  options.parse_reasoning = false;
  EXPECT_EQ(parse("r\n</think>\n\nA" + call_f("1"), options),
            (Parsed{"", "r\n</think>\n\nA", {R"(f {"a": "1"} .)"}, "tool_calls"}));
}

TEST(OutputParser, StartsInContent) {
  ChatParserOptions options = options_with_tools();
  options.starts_in_reasoning = false;
  EXPECT_EQ(parse("A", options), (Parsed{"", "A", {}, "stop"}));
  EXPECT_EQ(parse("\n<think>r</think>A", options), (Parsed{"r", "A", {}, "stop"}));
}

TEST(OutputParser, TrimValues) {
  ChatParserOptions options = options_with_tools();
  const std::string value = "\n\n \u3000x\n\n";
  const auto argument = [&] { return parse("</think>" + call_f(value), options).calls.at(0); };
  EXPECT_EQ(argument(), "f {\"a\": \"\\n\\n \u3000x\\n\\n\"} .");
  options.trim_values = TrimValues::kNewlines;
  EXPECT_EQ(argument(), "f {\"a\": \"\\n \u3000x\\n\"} .");
  options.trim_values = TrimValues::kStrip;
  EXPECT_EQ(argument(), "f {\"a\": \"x\"} .");
  for (const TrimValues trim : {TrimValues::kNewlines, TrimValues::kStrip}) {
    options.trim_values = trim;
    EXPECT_EQ(parse("</think>" + call_f("\n"), options).calls.at(0), R"(f {"a": ""} .)");
    EXPECT_EQ(parse("</think>" + call_f("x \n y"), options).calls.at(0), R"(f {"a": "x \n y"} .)");
  }
}

TEST(OutputParser, UnknownTools) {
  ChatParserOptions options = options_with_tools();
  const std::string text = "</think>A " + kOpen +
                           "<invoke name=\"h\"> <parameter name=\"a\">\nv</parameter>\n</invoke>"
                           "<invoke name=\"g\"></invoke>" +
                           kClose;
  EXPECT_EQ(parse(text, options),
            (Parsed{"", "A ", {R"(h {"a": "\nv"} .)", "g {} ."}, "tool_calls"}));
  options.unknown_tools = UnknownTools::kDrop;
  EXPECT_EQ(parse(text, options), (Parsed{"", "A ", {"g {} ."}, "tool_calls"}));
  options.unknown_tools = UnknownTools::kContent;
  EXPECT_EQ(parse(text, options),
            (Parsed{"",
                    "A <invoke name=\"h\"> <parameter name=\"a\">\nv</parameter>\n</invoke>",
                    {"g {} ."},
                    "tool_calls"}));
  EXPECT_EQ(parse("</think>" + call_f("1", "h"), options).finish_reason, "stop");
}

TEST(OutputParser, OneCallOnly) {
  ChatParserOptions options = options_with_tools();
  options.parallel_tool_calls = false;
  ChatParser parser(options);
  Parsed parsed;
  test::collect(parsed, parser.feed("r</think>A" + kOpen + "<invoke name=\"g\"></invoke"));
  EXPECT_FALSE(parser.should_stop());
  test::collect(parsed, parser.feed(">\n<invoke name=\"g\">"));
  EXPECT_TRUE(parser.should_stop());
  test::collect(parsed, parser.feed("</invoke>" + kClose + "B"));
  test::collect(parsed, parser.finish(OutputEnd::kStop));
  parsed.finish_reason = parser.finish_reason();
  EXPECT_EQ(parsed, (Parsed{"r", "A", {"g {} ."}, "tool_calls"}));
}

TEST(OutputParser, MessageJson) {
  ChatParserOptions options = options_with_tools();
  options.next_call_id = [n = 0]() mutable { return "call_" + std::to_string(n++); };
  EXPECT_EQ(parse_chat_output("r\n</think>\n\n" + call_f("é"), options),
            R"({"role":"assistant","content":null,"reasoning_content":"r","tool_calls":)"
            R"([{"id":"call_0","type":"function","function":{"name":"f","arguments":)"
            R"("{\"a\": \"é\"}"}}],"finish_reason":"tool_calls"})");
  EXPECT_EQ(parse_chat_output("</think>A", {}),
            R"({"role":"assistant","content":"A","reasoning_content":null,)"
            R"("finish_reason":"stop"})");
}

TEST(OutputParser, ChunksJson) {
  const std::vector<std::string> chunks = {"r\n", "s</think>A", kOpen + "<invoke name=\"f\"",
                                           "><parameter name=\"a\">x", "</parameter></invoke>"};
  EXPECT_EQ(parse_chat_chunks(chunks, options_with_tools()),
            R"({"after_each_chunk":[[["reasoning","r"]],[["reasoning","\ns"],["content","A"]],[],)"
            R"([["call",0,"f"],["args",0,"{\"a\": \"x"]],[["args",0,"\"}"],["end",0]]],)"
            R"("at_end":[]})");
}

TEST(OutputParser, CallIds) {
  ChatParserOptions options;
  options.tools_json = test::kTools;
  const std::vector<ChatEvent> events =
      ChatParser(options).feed("</think>" + call_f("1") + call_f("2"));
  std::vector<std::string> ids;
  for (const ChatEvent& event : events) {
    if (const auto* start = std::get_if<ToolCallStart>(&event)) ids.push_back(start->id);
  }
  ASSERT_EQ(ids.size(), 2U);
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_EQ(ids[0].size(), 29U);
  EXPECT_EQ(ids[0].substr(0, 5), "call_");
}

TEST(OutputParser, PromptDecidesTheStart) {
  EXPECT_TRUE(chat::prompt_ends_in_think("]~b]ai\n<think>\n"));
  EXPECT_TRUE(chat::prompt_ends_in_think("]~b]ai\n<think>"));
  EXPECT_FALSE(chat::prompt_ends_in_think("]~b]ai\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(chat::prompt_ends_in_think("]~b]ai\n"));
  EXPECT_FALSE(chat::prompt_ends_in_think(""));
}

TEST(OutputParser, MisuseAndBadTools) {
  ChatParser parser;
  (void)parser.finish(OutputEnd::kStop);
  EXPECT_THROW((void)parser.feed("x"), Error);
  EXPECT_THROW((void)parser.finish(OutputEnd::kStop), Error);
  ChatParserOptions options;
  options.tools_json = "{";
  EXPECT_THROW(ChatParser{options}, Error);
  options.tools_json = std::string(100'000, '[');
  EXPECT_THROW(ChatParser{options}, Error);
}

}  // namespace
}  // namespace m2
