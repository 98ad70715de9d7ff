#include "chat/argument_value.h"

#include <gtest/gtest.h>

#include <string>

#include "chat/json_literal.h"
#include "chat/literal_number.h"
#include "chat/python_literal.h"

namespace m2::chat {
namespace {

using enum ValueType;

struct Case {
  ValueTypes types;
  std::string value;
  std::string expected;
};

TEST(ArgumentValue, EveryType) {
  const std::string big(40, '9');
  const Case cases[] = {
      {{kString}, " null ", R"(" null ")"},
      {{kString}, "7", R"("7")"},
      {{kNull}, "\nNULL ", "null"},
      {{kNull}, "None", R"("None")"},
      {{kNull}, "nil", R"("nil")"},
      {{kNull, kString}, "null", "null"},
      {{kNull, kString}, " x ", R"(" x ")"},
      {{kInteger}, "7", "7"},
      {{kInteger}, " +007\n", "7"},
      {{kInteger}, "-0042", "-42"},
      {{kInteger}, "-0", "0"},
      {{kInteger}, big, big},
      {{kInteger}, "-" + big, "-" + big},
      {{kInteger}, "5.0", "5"},
      {{kInteger}, "1e3", "1000"},
      {{kInteger}, "-2.50e1", "-25"},
      {{kInteger}, "9007199254740991.0", "9007199254740991"},
      {{kInteger}, "9007199254740992.0", R"("9007199254740992.0")"},
      {{kInteger}, "1e400", R"("1e400")"},
      {{kInteger}, "1e-400", "0"},
      {{kInteger}, "5.5", R"("5.5")"},
      {{kInteger}, "+5.0", R"("+5.0")"},
      {{kInteger}, "+", R"("+")"},
      {{kInteger}, "", R"("")"},
      {{kInteger}, "1_000", R"("1_000")"},
      {{kInteger}, "true", R"("true")"},
      {{kNumber}, "1.50", "1.50"},
      {{kNumber}, "+1E5", "1E5"},
      {{kNumber}, "-0.0", "-0.0"},
      {{kNumber}, "7", "7"},
      {{kNumber}, "007", R"("007")"},
      {{kNumber}, ".5", R"(".5")"},
      {{kNumber}, "1.", R"("1.")"},
      {{kNumber}, "+-1", R"("+-1")"},
      {{kNumber}, "NaN", R"("NaN")"},
      {{kNumber}, "Infinity", R"("Infinity")"},
      {{kNumber}, "1e999", R"("1e999")"},
      {{kNumber}, "1e-999", "1e-999"},
      {{kNumber, kInteger}, "5.0", "5"},
      {{kNumber, kInteger}, "5.5", "5.5"},
      {{kBoolean}, "TRUE", "true"},
      {{kBoolean}, "1", "true"},
      {{kBoolean}, " false", "false"},
      {{kBoolean}, "0", "false"},
      {{kBoolean}, "yes", R"("yes")"},
      {{kBoolean, kInteger}, "1", "1"},
      {{kObject},
       "{\"b\":1,\"a\":[true , null,1.50,\"\\u00e9\\/\\ud83d\\ude00\"]}",
       R"({"b": 1, "a": [true, null, 1.50, "é/😀"]})"},
      {{kObject}, "{}", "{}"},
      {{kObject}, "{'k': True, 'n': None, 'l': (1, 2)}", R"({"k": true, "n": null, "l": [1, 2]})"},
      {{kObject}, "[1]", R"("[1]")"},
      {{kObject}, "{\"a\": NaN}", R"("{\"a\": NaN}")"},
      {{kObject}, "{'a': true}", R"("{'a': true}")"},
      {{kObject}, "{\"a\": " + big + "}", "{\"a\": " + big + "}"},
      {{kArray}, " [ ] ", "[]"},
      {{kArray}, "['a', \"b\",]", R"(["a", "b"])"},
      {{kArray}, "(1,)", "\"(1,)\""},
      {{kArray}, "{}", R"("{}")"},
      {{kArray}, "[1,]x", R"("[1,]x")"},
      {{kArray, kObject}, "{\"a\":[]}", R"({"a": []})"},
      {{kInteger, kString}, "12", "12"},
      {{kInteger, kString}, " a", R"(" a")"},
  };
  for (const Case& c : cases) EXPECT_EQ(argument_json(c.value, c.types), c.expected) << c.value;
}

TEST(ArgumentValue, DeepNestingIsText) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(argument_json(deep, {kArray}), json_string(deep));
  const std::string allowed = std::string(200, '[') + std::string(200, ']');
  EXPECT_EQ(argument_json(allowed, {kArray}), allowed);
}

TEST(RewriteJson, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "{a: 1}", "01", "1.", "\"\n\"", "\"\\x\"",
                           "\"\\u12\"", "tru", "[1] 2", "'a'", "{\"a\":1,}", "-", "\""}) {
    EXPECT_EQ(rewrite_json(text), std::nullopt) << text;
  }
}

TEST(RewriteJson, Strings) {
  EXPECT_EQ(rewrite_json("\"\\b\\f\\n\\r\\t\\u0000\\u001F\\\"\\\\\""),
            "\"\\b\\f\\n\\r\\t\\u0000\\u001f\\\"\\\\\"");
  EXPECT_EQ(rewrite_json("\"\\ud800x\\udc00\""), "\"\uFFFDx\uFFFD\"");
  EXPECT_EQ(rewrite_json("\"\\ud800\\u0041\""), "\"\uFFFDA\"");
}

TEST(PythonLiteral, Values) {
  const std::pair<const char*, const char*> cases[] = {
      {"{'a': 1, \"b\": 'it\\'s', 3: None, True: (), 1.5: [],}",
       R"({"a": 1, "b": "it's", "3": null, "true": [], "1.5": []})"},
      {"['\\x41\\u00e9\\U0001F600\\101\\q\\n']", R"(["Aé😀A\\q\n"])"},
      {"['a' 'b', r'\\n', u'x', '''t\n't''', \"\"]", R"(["ab", "\\n", "x", "t\n't", ""])"},
      {"[0x1F, 0b101, 0o17, 1_000, 00, -3, +4, - 5]", "[31, 5, 15, 1000, 0, -3, 4, -5]"},
      {"[1., .5, 1e5, 1E-7, 1e22, 123456789.0, 0.1]",
       "[1.0, 0.5, 100000.0, 1e-07, 1e+22, 123456789.0, 0.1]"},
      {"((1), (2,), ())", "[1, [2], []]"},
      {"['é', '\\\n']", R"(["é", ""])"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(python_literal_to_json(text), expected);
}

TEST(PythonLiteral, RefusesEverythingElse) {
  for (const char* text :
       {"",      "true", "null",   "x",           "{1, 2}",  "{'a'}", "{'a': }", "{'a': 1 'b': 2}",
        "[1 2]", "[,]",  "b'x'",   "f'x'",        "'\n'",    "'a",    "1e999",   "01",
        "1__0",  "1_",   "0x",     "0xg",         "1.2.3",   "1e",    "--1",     "1+2j",
        "f(x)",  "[1]]", "'\\x4'", "'\\N{DASH}'", "{[]: 1}", "nan",   "'''a''"}) {
    EXPECT_EQ(python_literal_to_json(text), std::nullopt) << text;
  }
}

TEST(FloatRepr, AsPythonWritesIt) {
  EXPECT_EQ(float_repr(1.0), "1.0");
  EXPECT_EQ(float_repr(-0.0), "-0.0");
  EXPECT_EQ(float_repr(1e15), "1000000000000000.0");
  EXPECT_EQ(float_repr(1e16), "1e+16");
  EXPECT_EQ(float_repr(0.0001), "0.0001");
  EXPECT_EQ(float_repr(0.00001), "1e-05");
  EXPECT_EQ(float_repr(1.7976931348623157e308), "1.7976931348623157e+308");
}

}  // namespace
}  // namespace m2::chat
