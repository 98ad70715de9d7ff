// The parser's result does not depend on how the text is cut, and it holds back no more than it
// must.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "parse_support.h"

namespace m2 {
namespace {

using test::options_with_tools;
using test::parse;
using test::parse_pieces;
using test::Parsed;

// Whole code points, as the detokenizer delivers them.
std::vector<std::string_view> code_points(std::string_view text) {
  std::vector<std::string_view> pieces;
  for (size_t pos = 0; pos < text.size();) {
    const auto length = static_cast<size_t>(utf8::decode(text, pos).length);
    pieces.push_back(text.substr(pos, length));
    pos += length;
  }
  return pieces;
}

const char* const kFragments[] = {
    "<think>",
    "</think>",
    "<minimax:tool_call>",
    "</minimax:tool_call>",
    "</invoke>",
    "</parameter>",
    "<invoke name=\"f\">",
    "<invoke name='g'>",
    "<invoke name=h>",
    "<parameter name=\"a\">",
    "<parameter name=\"b\">",
    "<parameter name='c'>",
    "<parameter name=\"z\">",
    "<invoke ",
    "name=",
    "<",
    "</",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "x",
    "é",
    "漢字",
    "\"",
    "'",
    ">",
    "7",
    "{'k': [1, None]}",
    "null",
    "<minimax:tool_call>\n<invoke name=\"f\">\n",
    "</parameter>\n",
    "</invoke>\n</minimax:tool_call>",
    "\u3000",
    "<par",
    "</min",
    "\\",
    "\x01",
};

std::string random_output(std::mt19937& random) {
  std::string text;
  const size_t count = 1 + random() % 14;
  for (size_t i = 0; i < count; ++i) text += kFragments[random() % std::size(kFragments)];
  return text;
}

ChatParserOptions random_options(std::mt19937& random) {
  ChatParserOptions options = options_with_tools();
  options.starts_in_reasoning = random() % 2 == 0;
  options.parse_reasoning = random() % 8 != 0;
  options.tools_active = random() % 8 != 0;
  options.parallel_tool_calls = random() % 8 != 0;
  options.trim_values = static_cast<TrimValues>(random() % 3);
  options.unknown_tools = static_cast<UnknownTools>(random() % 3);
  return options;
}

TEST(ParserChunking, AnyCutGivesTheSameResult) {
  std::mt19937 random(20251027);
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_output(random);
    const ChatParserOptions options = random_options(random);
    const OutputEnd end = random() % 4 == 0 ? OutputEnd::kLength : OutputEnd::kStop;
    const Parsed whole = parse_pieces({text}, options, end);
    const std::vector<std::string_view> points = code_points(text);
    ASSERT_EQ(parse_pieces(points, options, end), whole) << text;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if (utf8::is_continuation(text[cut])) continue;
      const std::string_view view = text;
      ASSERT_EQ(parse_pieces({view.substr(0, cut), view.substr(cut)}, options, end), whole)
          << text << "\ncut at " << cut;
    }
    std::vector<std::string_view> pieces;
    for (size_t pos = 0; pos < points.size();) {
      const size_t count = std::min<size_t>(random() % 9, points.size() - pos);
      const std::string_view last = count > 0 ? points[pos + count - 1] : std::string_view();
      pieces.push_back(count > 0 ? std::string_view(points[pos].data(),
                                                    static_cast<size_t>(last.data() + last.size() -
                                                                        points[pos].data()))
                                 : std::string_view());
      pos += count;
    }
    ASSERT_EQ(parse_pieces(pieces, options, end), whole) << text;
  }
}

// What the parser has reported of the last channel after `text`.
Parsed released(std::string_view text, ChatParserOptions options = options_with_tools()) {
  ChatParser parser(std::move(options));
  Parsed parsed;
  test::collect(parsed, parser.feed(text));
  return parsed;
}

TEST(ParserHoldBack, TextGoesOutAtOnce) {
  EXPECT_EQ(released("abc").reasoning, "abc");
  EXPECT_EQ(released("abc ").reasoning, "abc ");
  EXPECT_EQ(released("abc\n").reasoning, "abc");
  EXPECT_EQ(released("a\n\nb").reasoning, "a\n\nb");
  EXPECT_EQ(released("r</think>abc").content, "abc");
  EXPECT_EQ(released("\n\n  a").reasoning, "  a");
}

TEST(ParserHoldBack, OnlyPossibleTagsWait) {
  EXPECT_EQ(released("a<").reasoning, "a");
  EXPECT_EQ(released("a</thin").reasoning, "a");
  EXPECT_EQ(released("a<x").reasoning, "a<x");
  EXPECT_EQ(released("a</thix").reasoning, "a</thix");
  EXPECT_EQ(released("a<<").reasoning, "a<");
  EXPECT_EQ(released("a</parameter").reasoning, "a</parameter");
  EXPECT_EQ(released("r</think>a <minimax:tool_call>\n <invoke name=\"").content, "a ");
  EXPECT_EQ(released("r</think>a<minimax:tool_call> x").content, "a<minimax:tool_call> x");
  EXPECT_EQ(released("r</think>a<minimax:tool_call><i ").content, "a<minimax:tool_call><i ");
}

TEST(ParserHoldBack, TagsWithoutMeaningDoNotWait) {
  ChatParserOptions options = options_with_tools();
  options.tools_active = false;
  EXPECT_EQ(released("a<minimax:", options).reasoning, "a<minimax:");
  EXPECT_EQ(released("a<", options).reasoning, "a");
  options.parse_reasoning = false;
  EXPECT_EQ(released("a<", options).content, "a<");
}

TEST(ParserHoldBack, StringValuesStream) {
  const std::string start = "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">";
  const auto arguments = [&](const std::string& value) {
    return released(start + value).calls.at(0);
  };
  EXPECT_EQ(arguments(""), R"(f {"a": ")");
  EXPECT_EQ(arguments("x y "), R"(f {"a": "x y )");
  EXPECT_EQ(arguments("x\n"), R"(f {"a": "x)");
  EXPECT_EQ(arguments("x\ny"), R"(f {"a": "x\ny)");
  EXPECT_EQ(arguments("x\n<"), R"(f {"a": "x)");
  EXPECT_EQ(arguments("x\n<div"), R"(f {"a": "x\n<div)");
  EXPECT_EQ(arguments("x<para"), R"(f {"a": "x<para)");  // no line start
  EXPECT_EQ(arguments("x\n<parameter name=\"b"), R"(f {"a": "x)");
  EXPECT_EQ(arguments("x\n<parameter name=\"z"), R"(f {"a": "x\n<parameter name=\"z)");
  EXPECT_EQ(arguments("x\n<parameter name=\"a"), R"(f {"a": "x\n<parameter name=\"a)");
  EXPECT_EQ(arguments("x</parameter> "), R"(f {"a": "x)");
  EXPECT_EQ(arguments("x</parameter> y"), R"(f {"a": "x</parameter> y)");
  EXPECT_EQ(arguments("x</parameter></q"), R"(f {"a": "x</parameter></q)");
  EXPECT_EQ(arguments("x</parameter></invoke>"), R"(f {"a": "x"} .)");
  EXPECT_EQ(arguments("x</invoke>\n</minimax:tool_call>\n"), R"(f {"a": "x)");
  EXPECT_EQ(arguments("x</invoke>y"), R"(f {"a": "x</invoke>y)");
}

TEST(ParserHoldBack, OtherValuesGoOutWhole) {
  const std::string start = "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"b\">";
  EXPECT_EQ(released(start + "12").calls.at(0), "f ");
  EXPECT_EQ(released(start + "12</parameter>\n</invoke").calls.at(0), "f ");
  EXPECT_EQ(released(start + "12</parameter>\n</invoke>").calls.at(0), R"(f {"b": 12} .)");
  EXPECT_EQ(released(start + "12</parameter>\n<parameter name=\"a\">").calls.at(0),
            R"(f {"b": 12, "a": ")");
}

// Twice the text may take about twice the time, not four times; byte by byte.
double seconds_per_byte(const std::string& text) {
  ChatParser parser(options_with_tools());
  const auto start = std::chrono::steady_clock::now();
  for (const char& c : text) (void)parser.feed(std::string_view(&c, 1));
  (void)parser.finish(OutputEnd::kStop);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
         static_cast<double>(text.size());
}

std::string repeated(std::string_view unit, size_t size) {
  std::string text;
  while (text.size() < size) text += unit;
  return text;
}

TEST(ParserSpeed, LinearInTheLength) {
  const std::string value = "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">";
  const std::string object = "</think><minimax:tool_call><invoke name=\"f\"><parameter name=\"c\">";
  struct Shape {
    std::string prefix;
    std::string unit;
  };
  const Shape shapes[] = {
      {"", "text "},
      {"", "\n"},
      {"", "<"},
      {"</think>", "<minimax:tool_call>"},
      {"</think><minimax:tool_call>", " "},
      {"</think><minimax:tool_call><invoke name=\"", "n"},
      {"</think>", "<minimax:tool_call><invoke name=\"x"},
      {"</think>", "<minimax:tool_call><invoke name='g'></invoke>\n"},
      {value, "line of a file\n"},
      {value, "\n"},
      {value, "</parameter>\n"},
      {value, "</invoke>\n"},
      {value + "</parameter>", "\n"},
      {value + "</invoke></minimax:tool_call>", " "},
      {value, "\n<parameter name=\"b"},
      {value, "</invoke><invoke name=\"</invoke><invoke name='"},
      {object, "{\"a\": ["},
      {object, "[[{'a': "},
      {object, "\n"},
  };
  for (const Shape& shape : shapes) {
    const double small = seconds_per_byte(shape.prefix + repeated(shape.unit, 1U << 17U));
    const double large = seconds_per_byte(shape.prefix + repeated(shape.unit, 1U << 20U));
    // Eight times the length: quadratic time would show as a factor of eight.
    EXPECT_LT(large, 4 * small + 1e-6) << shape.prefix << " " << shape.unit;
  }
}

}  // namespace
}  // namespace m2
