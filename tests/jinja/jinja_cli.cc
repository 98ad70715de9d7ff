// Renders templates for the differential test tools/compare_jinja.py: reads JSON lines
// {"template": text, "context": object, "untrusted": bool} and writes one JSON line for each:
// {"ok": text} or {"error": message, "code": name}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "jinja/fixed_clock.h"
#include "jinja/template.h"
#include "m2/error.h"

namespace {

using m2::jinja::from_json;
using m2::jinja::Template;
using m2::jinja::Trust;

nlohmann::ordered_json render(const nlohmann::ordered_json& request) {
  try {
    const Trust trust = request.value("untrusted", false) ? Trust::kUntrusted : Trust::kTrusted;
    const auto result = Template::parse(request.at("template"))
                            .render(from_json(request.at("context"), trust),
                                    {.clock = m2::jinja::test::fixed_clock});
    return {{"ok", result.text}};
  } catch (const m2::Error& error) {
    return {{"error", error.what()}, {"code", m2::error_code_name(error.code())}};
  }
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << render(nlohmann::ordered_json::parse(line)).dump() << std::endl;
  }
}
