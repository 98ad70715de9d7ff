#include "chat/json_input.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace m2::chat {

nlohmann::ordered_json parse_json_text(std::string_view text, std::string_view what) {
  using Json = nlohmann::ordered_json;
  const auto check_depth = [&](int depth, Json::parse_event_t, Json&) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, depth <= kMaxJsonDepth, what,
               ": JSON nested deeper than ", kMaxJsonDepth);
    return true;
  };
  try {
    return Json::parse(text, check_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kInvalidArgument, what, ": expected JSON: ", error.what());
  }
}

std::string dump_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false,
                    nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace m2::chat
