// Errors and their places, and what differs from transformers on purpose.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "jinja/template.h"
#include "m2/error.h"

namespace m2::jinja {
namespace {

struct Failure {
  ErrorCode code;
  std::string message;
};

Failure failure(const std::string& source, const std::string& name = "t") {
  try {
    const RenderResult result = Template::parse(source, name).render(Value::dict());
    ADD_FAILURE() << "rendered " << result.text;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ErrorCode::kInternal, ""};
}

struct Case {
  const char* source;
  const char* place;
  const char* part;  // of the message
};

class Errors : public ::testing::TestWithParam<Case> {};

TEST_P(Errors, CarryLineAndColumn) {
  const Failure result = failure(GetParam().source);
  EXPECT_EQ(result.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.message.rfind(GetParam().place, 0), 0u) << result.message;
  EXPECT_NE(result.message.find(GetParam().part), std::string::npos) << result.message;
}

INSTANTIATE_TEST_SUITE_P(
    Places, Errors,
    ::testing::Values(Case{"{{ 1 + }}", "t:1:8: ", "expected an expression, got '}}'"},
                      Case{"a\nbé {% foo %}", "t:2:7: ", "unknown tag 'foo'"},
                      Case{"a\r\nb {% if %}", "t:2:9: ", "expected an expression, got '%}'"},
                      Case{"{% if 1 %}\n", "t:1:11: ", "expected 'elif' or 'else' or 'endif'"},
                      Case{"x {{ 'open }}", "t:1:6: ", "string is not terminated"},
                      Case{"{# open", "t:1:3: ", "comment"}, Case{"{{ a $ }}", "t:1:6: ", "'$'"},
                      Case{"{{ x.y }}", "t:1:5: ", "'x' is undefined"},
                      Case{"{{ {}.a.b }}", "t:1:8: ", "'dict object' has no attribute 'a'"},
                      Case{"\n\n  {{ 1 / 0 }}", "t:3:8: ", "division by zero"},
                      Case{"{{ 'a'|nope }}", "t:1:8: ", "no filter named 'nope'"},
                      Case{"{{ 1 is nope }}", "t:1:6: ", "no test named 'nope'"},
                      Case{"{{ 'a'.nope() }}", "t:1:12: ", "'str object' has no attribute 'nope'"},
                      Case{"{% macro m() %}\n{{ u.x }}{% endmacro %}\n{{ m() }}",
                           "t:2:5: ", "'u' is undefined"},
                      Case{"{% for a, b in [1] %}{% endfor %}", "t:1:4: ", "not iterable"},
                      Case{"{{ range(1000000) }}", "t:1:9: ", "range too big"},
                      Case{"{% set x.y = 1 %}", "t:1:8: ", "non-namespace"},
                      Case{"{{ 'a' + 1 }}", "t:1:8: ", "unsupported operand"}));

TEST(Errors, RaiseExceptionCarriesTheBareMessage) {
  const Failure result = failure("{% if true %}\n{{ raise_exception('No é!') }}{% endif %}");
  EXPECT_EQ(result.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.message, "No é!");
}

TEST(Errors, OtherTemplatesAreUnsupported) {
  for (const char* source :
       {"{% include 'a' %}", "{% import 'a' as b %}", "{% from 'a' import b %}",
        "{% extends 'a' %}", "{% autoescape true %}{% endautoescape %}", "{{ lipsum() }}",
        "{{ [1]|random }}", "{{ 2 ** 127 }}", "{{ (-8) ** 0.5 }}"}) {
    EXPECT_EQ(failure(source).code, ErrorCode::kUnsupported) << source;
  }
}

TEST(Errors, SourceMustBeUtf8) {
  EXPECT_EQ(failure("a\xff").code, ErrorCode::kInvalidArgument);
  EXPECT_THROW((void)from_json(nlohmann::ordered_json(std::string("\xc3"))), Error);
}

TEST(Errors, ContextMustBeADict) {
  EXPECT_THROW((void)Template::parse("").render(Value::list({})), Error);
}

// The immutable sandbox of transformers refuses these; templates made for other engines use them.
TEST(Changes, ListsAndDictsCanBeChanged) {
  const std::string source =
      "{% set l = [3, 1] %}{% set _ = l.append(2) %}{% set _ = l.extend('ab') %}{% set _ = "
      "l.insert(0, 9) %}"
      "{{ l }}{{ l.pop() }}{{ l.pop(0) }}{% set _ = l.pop() %}{% set _ = l.sort() %}{{ l }}"
      "{% set _ = l.sort(reverse=true) %}{{ l }}{% set _ = l.reverse() %}{% set _ = l.remove(2) "
      "%}{{ l }}"
      "{% set _ = l.clear() %}{{ l }}"
      "{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}, c=3) %}{{ d.pop('a') }}{{ d.pop('z', 0) "
      "}}"
      "{{ d.setdefault('q', 5) }}{{ d.popitem() }}{{ d }}{% set _ = d.clear() %}{{ d }}";
  EXPECT_EQ(Template::parse(source).render(Value::dict()).text,
            "[9, 3, 1, 2, 'a', 'b']b9[1, 2, 3][3, 2, 1][1, 3][]105('q', 5){'b': 2, 'c': 3}{}");
  EXPECT_EQ(failure("{{ [].pop() }}").code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(failure("{{ {}.pop('a') }}").code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(
      failure("{% set d = {'a': 1} %}{% for k in d %}{% set _ = d.update(b=1) %}{% endfor %}").code,
      ErrorCode::kInvalidArgument);
}

TEST(Templates, RenderInSeveralThreads) {
  const Template chat = Template::parse(
      "{% set t = 'é' * 300 %}{% macro m(x) %}{{ x[100] }}{% endmacro %}{% for i in range(50) %}{{ "
      "m('ü' * 200) }}{{ t[99] }}{% endfor %}");
  const std::string expected = chat.render(Value::dict()).text;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(chat.render(Value::dict()).text, expected); });
  }
}

TEST(Templates, IntegersBeyondTheirRangeAreRefused) {
  const std::string most = "{% set m = 2 ** 126 - 1 + 2 ** 126 %}";
  EXPECT_EQ(Template::parse(most + "{{ m }} {{ -m }} {{ -m // -1 }}").render(Value::dict()).text,
            "170141183460469231731687303715884105727 -170141183460469231731687303715884105727 "
            "170141183460469231731687303715884105727");
  for (const char* expression :
       {"m + 1", "-m - 1", "m * 2", "m ** 2", "m - (-1)", "m|round(-38)", "[m, 1]|sum"}) {
    EXPECT_EQ(failure(most + "{{ " + expression + " }}").code, ErrorCode::kUnsupported)
        << expression;
  }
  // Where Python takes any integer, those at the border do no harm.
  const std::string uses =
      "{{ 'abc'[m:] }}{{ 'abc'[-m:m:m] }}{{ [1][m] is defined }}{{ m in range(9) }}"
      "{{ 'a'.center(-m) }}{{ 'a'.zfill(-m) }}{{ 'abc'|truncate(m, leeway=m) }}{{ -m in range(9) }}"
      "{{ 'a'.find('a', m) }}{{ [1].index(1, -m) }}{{ 1.5|round(m) }}{{ 1.5|round(-m) }}";
  EXPECT_EQ(Template::parse(most + uses).render(Value::dict()).text,
            "aFalseFalseaaabcFalse-101.50.0");
}

TEST(Templates, BigIntegersAreExact) {
  const Value context = from_json(nlohmann::ordered_json::parse(R"({"n": 18446744073709551615})"));
  EXPECT_EQ(Template::parse("{{ n }} {{ n * 10 }} {{ n|tojson }}").render(context).text,
            "18446744073709551615 184467440737095516150 18446744073709551615");
}

}  // namespace
}  // namespace m2::jinja
