// The tools of a request: one form for all client dialects, and what their schemas say about
// parameters.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "chat/argument_value.h"

namespace m2::chat {

/// Types that `schema` allows: type (name or list, with the usual aliases), $ref inside `root`,
/// anyOf / oneOf / allOf members, nullable; without a type those of enum and const, object for
/// properties, array for items. {string} when nothing is known. Bounded for recursive schemas.
[[nodiscard]] ValueTypes types_of_schema(const nlohmann::ordered_json& schema,
                                         const nlohmann::ordered_json& root);

/// What the output parser needs to know of one tool.
class ToolSchema {
 public:
  /// `function` has name and perhaps parameters.
  explicit ToolSchema(const nlohmann::ordered_json& function);

  [[nodiscard]] const std::string& name() const { return name_; }

  /// {string} for a parameter that is not declared.
  [[nodiscard]] ValueTypes types_of(std::string_view parameter) const;

  enum class HeaderMatch { kNone, kPartial, kWhole };

  /// Whether `text` begins with `<parameter name="K">`, or is the beginning of one, for a declared
  /// K that is not in `given`. Exactly this spelling.
  [[nodiscard]] HeaderMatch match_parameter_header(
      std::string_view text, const std::set<std::string, std::less<>>& given) const;

 private:
  std::string name_;
  std::map<std::string, ValueTypes, std::less<>> types_;
};

class ToolSchemas {
 public:
  ToolSchemas() = default;
  /// `tools` is a list in the form that normalize_tools gives.
  explicit ToolSchemas(const nlohmann::ordered_json& tools);

  /// nullptr when no such tool was declared.
  [[nodiscard]] const ToolSchema* find(std::string_view name) const;
  [[nodiscard]] bool empty() const { return tools_.empty(); }

 private:
  std::map<std::string, ToolSchema, std::less<>> tools_;
};

/// The tools as the template gets them: {"type": "function", "function": {...}} with name,
/// description and parameters only, those that the client gave, in the client's order. Accepts the
/// OpenAI form, the flat forms and Anthropic's input_schema. Throws kInvalidArgument.
[[nodiscard]] nlohmann::ordered_json normalize_tools(const nlohmann::ordered_json& tools);

}  // namespace m2::chat
