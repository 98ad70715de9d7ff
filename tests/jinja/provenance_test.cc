// Which bytes of the result are known to come from untrusted input.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "jinja/str.h"
#include "jinja/template.h"

namespace m2::jinja {
namespace {

// The result with brackets around the untrusted parts.
std::string marked(const std::string& source) {
  Value context = Value::dict();
  context.as_dict().set("t", Value::string("trust"));
  context.as_dict().set("u", Value::string("evil é", Trust::kUntrusted));
  context.as_dict().set("w", Value::string(" a,b ", Trust::kUntrusted));
  context.as_dict().set("q", Value::string("x\n\"y", Trust::kUntrusted));
  context.as_dict().set(
      "l", from_json(nlohmann::ordered_json::parse(R"(["a", {"k": "v"}])"), Trust::kUntrusted));
  const RenderResult result = Template::parse(source).render(context);
  std::string out;
  size_t begin = 0;
  for (const ByteRange& range : result.untrusted) {
    out += result.text.substr(begin, range.begin - begin) + "[" +
           result.text.substr(range.begin, range.end - range.begin) + "]";
    begin = range.end;
  }
  return out + result.text.substr(begin);
}

struct Case {
  const char* source;
  const char* expected;
};

class Provenance : public ::testing::TestWithParam<Case> {};

TEST_P(Provenance, IsKept) { EXPECT_EQ(marked(GetParam().source), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(
    Operations, Provenance,
    ::testing::Values(
        Case{"a{{ t }}b", "atrustb"}, Case{"a{{ u }}b", "a[evil é]b"},
        Case{"{{ u }}{{ u }}", "[evil éevil é]"}, Case{"{{ t + u + t }}", "trust[evil é]trust"},
        Case{"{{ t ~ u ~ 1 }}", "trust[evil é]1"}, Case{"{{ u * 2 }}", "[evil éevil é]"},
        Case{"{{ (t ~ u)[3:7] }}", "st[ev]"}, Case{"{{ (t ~ u)[::-1] }}", "[é live]tsurt"},
        Case{"{{ u[0] ~ t[0] }}", "[e]t"}, Case{"{{ w.strip() }}", "[a,b]"},
        Case{"{{ w|trim }}", "[a,b]"}, Case{"{{ w.strip().split(',')|join('-') }}", "[a]-[b]"},
        Case{"{{ ('x' ~ w).split(',')[0] }}", "x[ a]"}, Case{"{{ u.upper() }}", "[EVIL É]"},
        Case{"{{ (t ~ u)|upper }}", "[TRUSTEVIL É]"}, Case{"{{ t|upper }}", "TRUST"},
        Case{"{{ u|replace('evil', t) }}", "trust[ é]"},
        Case{"{{ t|replace('us', u) }}", "tr[evil é]t"},
        Case{"{{ '%s-%5s'|format(t, u) }}", "trust-[evil é]"},
        Case{"{{ '{}<{:>7}>'.format(t, u) }}", "trust< [evil é]>"},
        Case{"{{ q|tojson }}", "\"[x\\n\\\"y]\""},
        Case{"{{ l|tojson }}", "[\"[a]\", {\"[k]\": \"[v]\"}]"},
        Case{"{{ l }}", "['[a]', {'[k]': '[v]'}]"}, Case{"{{ '<' ~ u|e }}", "<[evil é]"},
        Case{"{{ ('<' ~ u)|indent(2, true) }}", "  <[evil é]"},
        Case{"{{ u|string|list|join }}", "[evil é]"}, Case{"{% set x = u %}{{ x }}", "[evil é]"},
        Case{"{% set x %}a{{ u }}{% endset %}{{ x }}", "a[evil é]"},
        Case{"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(u) }}", "<[evil é]>"},
        Case{"{% filter trim %} {{ u }} {% endfilter %}", "[evil é]"},
        Case{"{% for c in u[:2] %}{{ c }}.{% endfor %}", "[e].[v]."},
        Case{"{{ {u: 1}|items|list }}", "[('[evil é]', 1)]"}, Case{"{{ u|length }}", "6"},
        Case{"{{ (u ~ t).removesuffix('trust') }}", "[evil é]"},
        Case{"{{ u.partition(' ')[2] }}", "[é]"},
        Case{"{{ t.join([u, u]) }}", "[evil é]trust[evil é]"},
        Case{"{{ u.center(8) }}", " [evil é] "}, Case{"{{ [t, u]|sort|join }}", "[evil é]trust"},
        Case{"{{ u|urlencode }}", "[evil%20%C3%A9]"},
        Case{"{{ dict(a=u).a }}{{ namespace(b=u).b }}", "[evil éevil é]"},
        Case{"{{ u|truncate(5, true, '..', 0) }}", "[evi].."}, Case{"{{ u|title }}", "[Evil É]"},
        // Names of keyword arguments that come from the input stay marked.
        Case{"{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(**l[1]) }}", "{'[k]': '[v]'}"},
        Case{"{{ dict(**l[1]) }}{{ namespace(**l[1]) }}",
             "{'[k]': '[v]'}<Namespace {'[k]': '[v]'}>"},
        Case{"{{ '%(k)s'|format(**l[1]) }}", "[v]"}, Case{"{{ '{k}'.format_map(l[1]) }}", "[v]"}));

TEST(Generation, RangesCoverTheBlocks) {
  const RenderResult result =
      Template::parse(
          "a{% generation %}éb{% endgeneration %}c{% for i in [1,2] %}{% generation %}"
          "{{ i }}{% endgeneration %}.{% endfor %}")
          .render(Value::dict());
  EXPECT_EQ(result.text, "aébc1.2.");
  const std::vector<ByteRange> expected{{1, 4}, {5, 6}, {7, 8}};
  EXPECT_EQ(result.generation, expected);
}

TEST(Str, SubstringsKeepRanges) {
  StrBuilder builder;
  builder.append("ab");
  builder.append("cd", Trust::kUntrusted);
  builder.append("ef", Trust::kUntrusted);
  builder.append("gh");
  const Str text = builder.take();
  EXPECT_EQ(text.untrusted(), (std::vector<ByteRange>{{2, 6}}));
  EXPECT_EQ(text.substr(3, 7).untrusted(), (std::vector<ByteRange>{{0, 3}}));
  EXPECT_TRUE(text.substr(0, 2).untrusted().empty());
  EXPECT_TRUE(text.substr(6).untrusted().empty());
}

TEST(Str, CountsCodePoints) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += "aé😀";
  const Str text(bytes);
  EXPECT_EQ(text.length(), 3000u);
  EXPECT_EQ(text.size(), 7000u);
  for (const size_t index : {0u, 1u, 2u, 3u, 63u, 64u, 65u, 1500u, 2999u, 3000u}) {
    const size_t rest = index % 3;
    EXPECT_EQ(text.byte_offset(index), index / 3 * 7 + (rest == 0   ? 0
                                                        : rest == 1 ? 1
                                                                    : 3))
        << index;
  }
}

}  // namespace
}  // namespace m2::jinja
