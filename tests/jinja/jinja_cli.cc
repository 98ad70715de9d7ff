// Renders templates for the differential test tools/compare_jinja.py: reads JSON lines
// {"template": text, "context": object, "untrusted": bool} and writes one JSON line for each:
// {"ok": text} or {"error": message, "code": name}.
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "jinja/template.h"
#include "m2/error.h"

namespace {

using m2::jinja::from_json;
using m2::jinja::Template;
using m2::jinja::Trust;

// The clock that the reference side uses as well: 2024-07-26 13:05:09, a Friday.
std::tm fixed_clock() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 13;
  time.tm_min = 5;
  time.tm_sec = 9;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

nlohmann::ordered_json render(const nlohmann::ordered_json& request) {
  try {
    const Trust trust = request.value("untrusted", false) ? Trust::kUntrusted : Trust::kTrusted;
    const auto result = Template::parse(request.at("template"))
                            .render(from_json(request.at("context"), trust), {.clock = fixed_clock});
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
