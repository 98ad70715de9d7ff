// Any output in any chunks gives the events of the whole text, and complete calls have arguments
// that are JSON objects. The first four bytes choose options and chunks, the rest is the output.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "chat/parse_json.h"
#include "m2/chat.h"

namespace {

constexpr const char* kTools = R"([
  {"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "b": {"type": "integer"},
    "c": {"type": ["object", "array", "null"]}, "d": {"anyOf": [{"type": "number"},
    {"type": "boolean"}]}}}},
  {"name": "g", "parameters": {"properties": {"path": {"type": "string"}, "\">": {}}}}])";

m2::ChatParserOptions options_from(uint8_t bits, uint8_t modes) {
  m2::ChatParserOptions options;
  options.tools_json = kTools;
  options.tools_active = (bits & 1U) == 0;
  options.parse_reasoning = (bits & 2U) == 0;
  options.starts_in_reasoning = (bits & 4U) == 0;
  options.parallel_tool_calls = (bits & 8U) == 0;
  options.trim_values = static_cast<m2::TrimValues>(modes % 3);
  options.unknown_tools = static_cast<m2::UnknownTools>(modes / 3 % 3);
  options.next_call_id = [] { return std::string("id"); };
  return options;
}

// The events joined into one message, and which calls were completed.
nlohmann::ordered_json parse(const std::vector<std::string_view>& chunks,
                             const m2::ChatParserOptions& options, m2::OutputEnd end) {
  m2::ChatParser parser(options);
  std::vector<m2::ChatEvent> events;
  const auto add = [&](const std::vector<m2::ChatEvent>& more) {
    events.insert(events.end(), more.begin(), more.end());
  };
  for (const std::string_view chunk : chunks) add(parser.feed(chunk));
  add(parser.finish(end));
  nlohmann::ordered_json result = m2::chat::assistant_message(events);
  result["finish_reason"] = parser.finish_reason();
  result["completed"] = nlohmann::ordered_json::array();
  for (const m2::ChatEvent& event : events) {
    if (const auto* call = std::get_if<m2::ToolCallEnd>(&event)) {
      result["completed"].push_back(call->index);
    }
  }
  return result;
}

std::vector<std::string_view> cut(std::string_view text, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  const size_t longest = 1 + seed % 13;
  std::vector<std::string_view> chunks;
  while (!text.empty()) {
    size_t length = std::min<size_t>(1 + random() % longest, text.size());
    while (length < text.size() && m2::utf8::is_continuation(text[length])) ++length;
    chunks.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return chunks;
}

void check_arguments(const nlohmann::ordered_json& message) {
  for (const auto& index : message.at("completed")) {
    const auto& call = message.at("tool_calls").at(index.get<size_t>());
    const auto& arguments = call.at("function").at("arguments").get_ref<const std::string&>();
    if (!nlohmann::json::parse(arguments).is_object()) throw std::logic_error(arguments);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const m2::ChatParserOptions options = options_from(data[0], data[1]);
  const m2::OutputEnd end = (data[0] & 16U) == 0 ? m2::OutputEnd::kStop : m2::OutputEnd::kLength;
  const std::string text = m2::utf8::replace_invalid(
      std::string_view(reinterpret_cast<const char*>(data) + 4, size - 4));
  const auto whole = parse({text}, options, end);
  check_arguments(whole);
  if (parse(cut(text, data[2] + 256U * data[3]), options, end) != whole) {
    throw std::logic_error("chunks change the result");
  }
  return 0;
}
