// Tool calls of earlier turns, as clients send them back.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/value.h"

namespace m2::chat {

struct CallInput {
  std::string id;  // empty when the client gave none
  std::string name;
  jinja::Value arguments;  // a dict; all text is marked untrusted
};

enum class BadArguments {
  kError,  // text that is no JSON object throws kInvalidArgument
  kWrap,   // it becomes {"arguments": text}
};

/// The calls of tool_calls, or the one of the deprecated function_call; empty when there are none.
/// Errors name `where`.
[[nodiscard]] std::vector<CallInput> read_calls(const nlohmann::ordered_json& message,
                                                BadArguments bad_arguments,
                                                const std::string& where);

/// A JSON object as a dict, all text marked untrusted; nullopt when `text` is no JSON object.
/// Unlike a JSON library's numbers, integers keep up to 38 digits.
[[nodiscard]] std::optional<jinja::Value> parse_arguments(std::string_view text);

}  // namespace m2::chat
