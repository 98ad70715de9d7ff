#include "chat/message_content.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "chat/json_input.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

std::string_view type_of(const Json& part) {
  const Json* type = find_member(part, "type");
  return type != nullptr && type->is_string()
             ? std::string_view(type->get_ref<const std::string&>())
             : std::string_view();
}

const std::string& text_member(const Json& part, const char* key, const std::string& where) {
  const Json* text = find_member(part, key);
  M2_REQUIRE(ErrorCode::kInvalidArgument, text != nullptr && text->is_string(), where, ".", key,
             ": expected a string, got ", describe(text));
  return text->get_ref<const std::string&>();
}

bool is_thinking(const Json& part) {
  return is_one_of(type_of(part), {"thinking", "redacted_thinking"});
}

// A part in the template's form; nullopt when it is no text.
std::optional<Json> text_part(const Json& part, const std::string& where) {
  if (part.is_string()) return part;
  const std::string_view type = type_of(part);
  const bool refusal = type == "refusal";
  if (!refusal && !is_one_of(type, {"text", "input_text", "output_text"})) return std::nullopt;
  return Json{{"type", "text"}, {"text", text_member(part, refusal ? "refusal" : "text", where)}};
}

[[noreturn]] void fail_not_text(const Json& part, const std::string& where) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, part.is_object(), where, ": expected a text part, got ",
             part.type_name());
  fail(ErrorCode::kInvalidArgument, where, ".type: expected text, got ",
       describe(find_member(part, "type")), "; the model accepts text only");
}

// What the template would print as a Python literal of megabytes.
bool is_media(const Json& part) {
  return is_one_of(type_of(part),
                   {"image", "image_url", "input_image", "audio", "input_audio", "audio_url",
                    "video", "video_url", "file", "input_file", "document"});
}

Json normalize_part(const Json& part, std::string_view role, const std::string& where) {
  const bool printed = role == "tool" && part.is_object() && !is_media(part);
  if (printed && find_member(part, "output") != nullptr) return part;
  if (auto text = text_part(part, where)) return *std::move(text);
  if (!printed) fail_not_text(part, where);
  return part;
}

}  // namespace

Json normalize_content(const Json& message, std::string_view role, const std::string& where) {
  const Json* content = find_member(message, "content");
  if (content == nullptr) return "";
  if (content->is_string()) return *content;
  M2_REQUIRE(ErrorCode::kInvalidArgument, content->is_array(), where,
             ".content: expected a string or a list of parts, got ", content->type_name());
  Json list = Json::array();
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    if (role == "assistant" && is_thinking(part)) continue;
    list.push_back(normalize_part(part, role, concat(where, ".content[", i, "]")));
  }
  return list;
}

std::string content_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const Json& part : content) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
    } else if (const Json* part_text = find_member(part, "text")) {
      text += part_text->get_ref<const std::string&>();
    }
  }
  return text;
}

Json join_text_list(Json content) {
  if (!content.is_array()) return content;
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    if (!part.is_string() && (type_of(part) != "text" || part.contains("output"))) return content;
    if (i > 0) joined += '\n';
    joined += part.is_string() ? part.get_ref<const std::string&>()
                               : part.at("text").get_ref<const std::string&>();
  }
  return joined;
}

std::optional<std::string> message_reasoning(const Json& message, const std::string& where) {
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (find_member(message, key) != nullptr) return text_member(message, key, where);
  }
  std::optional<std::string> text;
  const auto collect = [&](const char* list_key, std::string_view type, const char* text_key) {
    const Json* list = find_member(message, list_key);
    if (list == nullptr || !list->is_array()) return;
    for (size_t i = 0; i < list->size(); ++i) {
      const Json& item = (*list)[i];
      if (type_of(item) != type) continue;
      const std::string place = concat(where, ".", list_key, "[", i, "]");
      text = text.value_or("") + text_member(item, text_key, place);
    }
  };
  collect("reasoning_details", "reasoning.text", "text");
  if (!text) collect("content", "thinking", "thinking");
  return text;
}

}  // namespace m2::chat
