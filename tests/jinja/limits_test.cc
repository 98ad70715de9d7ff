// Hostile templates end with an error, soon, and without using up stack or memory.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jinja/template.h"
#include "m2/error.h"

namespace m2::jinja {
namespace {

ErrorCode code_of(const std::string& source, const RenderOptions& options = {}) {
  try {
    (void)Template::parse(source).render(Value::dict(), options);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "rendered: " << source.substr(0, 200);
  return ErrorCode::kInternal;
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

class Exhausting : public ::testing::TestWithParam<const char*> {};

TEST_P(Exhausting, IsStopped) { EXPECT_EQ(code_of(GetParam()), ErrorCode::kResourceExhausted); }

INSTANTIATE_TEST_SUITE_P(
    Templates, Exhausting,
    ::testing::Values(
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{% if true %}{% for i in [1] %}{{ [m([x])]|join }}{% endfor %}{% endif "
        "%}{% endmacro %}{{ m(1) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s "
        "~ ns.s %}{% endfor %}",
        "{{ 'a' * 10000000000 }}", "{{ [1] * 10000000000 }}", "{{ '%1000000000s' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}", "{{ 'a'.center(1000000000000) }}",
        "{{ [1]|batch(1000000000, 2)|list }}", "{{ [1]|slice(1000000000)|list }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% "
        "endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = ns.x|map('upper') "
        "%}{% endfor %}{{ ns.x|list }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% "
        "endfor %}{{ ns.x }}",
        "{% set a = namespace(x=[1]) %}{% set b = namespace(x=[1]) %}{% for i in range(60) %}{% "
        "set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}",
        "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% "
        "endfor %}{{ {ns.x: 1} }}",
        "{% set l = [1] %}{% for x in l %}{{ l.append(x) }}{% endfor %}",
        "{% set l = [1] %}{{ l.append(l) }}{% set m = [1] %}{{ m.append(m) }}{{ l == m }}",
        "{{ 'a'|indent(100000000000) }}", "{{ [[]]|tojson(indent=1000000000) }}"));

TEST(Limits, CyclesAreShownAndFreed) {
  const RenderResult result =
      Template::parse(
          "{% set l = [1] %}{% set ignore = l.append(l) %}{{ l }}"
          "{% set d = {} %}{% set ignore = d.update(d=d) %}{{ d }}"
          "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns.ns.ns is defined }}")
          .render(Value::dict());
  EXPECT_EQ(result.text, "[1, [...]]{'d': {...}}True");
  EXPECT_EQ(code_of("{% set l = [] %}{% set i = l.append(l) %}{{ l|tojson }}"),
            ErrorCode::kInvalidArgument);
}

TEST(Limits, DeepListsMadeByChangesAreFreed) {
  const std::string source =
      "{% set ns = namespace(x=[]) %}{% set root = ns.x %}{% for i in range(50000) %}"
      "{% set n = [] %}{% set ignore = ns.x.append(n) %}{% set ns.x = n %}{% endfor %}";
  EXPECT_EQ(Template::parse(source + "done").render(Value::dict()).text, "done");
  EXPECT_EQ(code_of(source + "{{ root }}"), ErrorCode::kResourceExhausted);
}

TEST(Limits, NestedSourceIsRefused) {
  for (const std::string& source :
       {"{{ " + repeated("(", 100000), "{{ " + repeated("[", 500) + repeated("]", 500) + " }}",
        "{{ " + repeated("-", 100000) + "1 }}", "{{ " + repeated("not ", 100000) + "1 }}",
        repeated("{% if 1 %}", 5000), "{{ 1" + repeated("+1", 5000) + " }}",
        "{{ 1" + repeated("|abs", 5000) + " }}", "{{ a" + repeated(".a", 5000) + " }}",
        "{{ 1" + repeated(" if 1 else 1", 5000) + " }}", "{{ " + repeated("{1:", 1000),
        "{{ 1" + repeated(" and 1", 5000) + " }}", "{{ a" + repeated("[a", 1000)}) {
    EXPECT_EQ(code_of(source), ErrorCode::kInvalidArgument);
  }
}

TEST(Limits, LongFlatSourceIsFine) {
  const std::string source = "{{ 1" + repeated(" ~ 1", 5000) + " }}" +
                             repeated("{% if 1 %}x{% endif %}", 5000) + "{% if 0 %}" +
                             repeated("{% elif 0 %}", 3000) + "{% endif %}";
  EXPECT_EQ(Template::parse(source).render(Value::dict()).text.size(), 5001u + 5000u);
}

TEST(Limits, CanBeSet) {
  EXPECT_EQ(code_of("{{ 'a' * 100 }}", {.limits = {.max_output_bytes = 99}}),
            ErrorCode::kResourceExhausted);
  EXPECT_EQ(code_of("{% for i in range(1000) %}{% endfor %}", {.limits = {.max_steps = 100}}),
            ErrorCode::kResourceExhausted);
  const std::string nested =
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}";
  EXPECT_EQ(code_of(nested, {.limits = {.max_call_depth = 5}}), ErrorCode::kResourceExhausted);
  EXPECT_EQ(Template::parse(nested).render(Value::dict(), {.limits = {.max_call_depth = 6}}).text,
            "");
}

// A prompt of a megabyte is one pass over the text for each operation, well inside the limits.
TEST(Limits, LongTextIsLinear) {
  Value context = Value::dict();
  const std::string chunk = "word </think> é ";
  context.as_dict().set("s", Value::string(repeated(chunk, 100000), Trust::kUntrusted));
  context.as_dict().set("a", Value::string(repeated("a", 1000000)));
  const RenderResult result =
      Template::parse(
          "{{ '</think>' in s }}{{ s.split('</think>')|length }}{{ s.strip()|length }}"
          "{{ s.split()|length }}{{ s[-1:] }}{{ s[500000] }}{{ "
          "s.split('</think>')[-1].strip('\\n') }}"
          "{{ a.find('a' * 500000 ~ 'b') }}{{ a.rfind('b' ~ 'a' * 500000) }}{{ a.rsplit('a' * "
          "100)|length }}"
          "{% for c in s[:1000] %}{% endfor %}{{ s|tojson|length }}{{ s|replace('word', "
          "'w')|length }}")
          .render(context);
  EXPECT_EQ(result.text, "True1000011599999300000 w é -1-1100011600002" + std::to_string(1300000));
}

TEST(Limits, InputIsNotChanged) {
  const Value context = from_json(nlohmann::ordered_json::parse(R"({"l": [1], "d": {"a": [2]}})"));
  const Template changing = Template::parse(
      "{% set x = l.append(5) %}{% set x = d.a.pop() %}{% set x = d.update(b=1) %}{{ l }}{{ d }}");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(changing.render(context).text, "[1, 5]{'a': [], 'b': 1}");
  }
}

}  // namespace
}  // namespace m2::jinja
