// Small templates and their results in Jinja2 3.1.6 (tests/golden/jinja/probes.json, made by
// tools/make_jinja_goldens.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "jinja/fixed_clock.h"
#include "jinja/template.h"
#include "m2/error.h"
#include "support/paths.h"

namespace m2::jinja {
namespace {

using Json = nlohmann::ordered_json;

Json load_probes() {
  return Json::parse(m2::test::read_file(m2::test::golden_path("jinja/probes.json")));
}

std::string source_of(const Json& probe) {
  if (probe.contains("template")) return probe["template"];
  const std::string file = probe["template_file"];
  return m2::test::read_file(m2::test::golden_path("jinja/templates/" + file));
}

RenderResult render(const Json& probe, Trust trust) {
  return Template::parse(source_of(probe))
      .render(from_json(probe["context"], trust), {.clock = test::fixed_clock});
}

TEST(Probes, ThereAreEnough) { EXPECT_GE(load_probes().size(), 1500u); }

TEST(Probes, RenderAsJinja2Does) {
  for (const Json& probe : load_probes()) {
    if (!probe.contains("expected")) continue;
    SCOPED_TRACE(source_of(probe));
    try {
      EXPECT_EQ(render(probe, Trust::kTrusted).text, probe["expected"]);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(Probes, FailWhereJinja2Fails) {
  for (const Json& probe : load_probes()) {
    if (!probe.contains("error")) continue;
    SCOPED_TRACE(source_of(probe));
    try {
      const RenderResult result = render(probe, Trust::kTrusted);
      ADD_FAILURE() << "rendered " << result.text << " instead of " << probe["error"];
    } catch (const Error& error) {
      if (probe.contains("raised")) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
        EXPECT_EQ(error.what(), probe["raised"].get<std::string>());
      } else {
        EXPECT_EQ(std::string(error.what()).rfind("chat_template.jinja:", 0), 0u) << error.what();
      }
    }
  }
}

// Where values come from changes what is known about the text, never the text.
TEST(Probes, AreTheSameForUntrustedInput) {
  for (const Json& probe : load_probes()) {
    if (!probe.contains("expected")) continue;
    SCOPED_TRACE(source_of(probe));
    const RenderResult result = render(probe, Trust::kUntrusted);
    EXPECT_EQ(result.text, probe["expected"]);
    size_t last_end = 0;
    for (const ByteRange& range : result.untrusted) {
      EXPECT_TRUE(range.begin < range.end && range.end <= result.text.size());
      EXPECT_TRUE(range.begin > last_end || (range.begin == 0 && last_end == 0));
      last_end = range.end;
    }
  }
}

}  // namespace
}  // namespace m2::jinja
