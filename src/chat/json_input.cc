#include "chat/json_input.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"

namespace m2::chat {

nlohmann::ordered_json parse_json_text(std::string_view text, std::string_view what,
                                       ErrorCode code) {
  using Json = nlohmann::ordered_json;
  std::vector<size_t> num_keys;  // of the open objects, by depth
  const auto check_limits = [&](int depth, Json::parse_event_t event, Json&) {
    M2_REQUIRE(code, depth <= kMaxJsonDepth, what, ": JSON nested deeper than ", kMaxJsonDepth);
    num_keys.resize(static_cast<size_t>(depth) + 1);  // forgets objects that were closed
    if (event == Json::parse_event_t::key) {
      M2_REQUIRE(code, ++num_keys.back() <= kMaxJsonKeys, what, ": a JSON object has more than ",
                 kMaxJsonKeys, " keys");
    }
    return true;
  };
  try {
    return Json::parse(text, check_limits);
  } catch (const Json::exception& error) {
    fail(code, what, ": expected JSON: ", error.what());
  }
}

const nlohmann::ordered_json* find_member(const nlohmann::ordered_json& object,
                                          std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string describe(const nlohmann::ordered_json* value) {
  constexpr size_t kMaxShown = 80;
  if (value == nullptr) return "nothing";
  if (!value->is_string()) return value->type_name();
  const auto& text = value->get_ref<const std::string&>();
  return text.size() <= kMaxShown ? text : "a string of " + std::to_string(text.size()) + " bytes";
}

std::string dump_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false,
                    nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace m2::chat
