#include "chat/tool_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;
using enum ValueType;

ValueTypes types_of(const char* schema, const char* definitions = "{}") {
  const Json root = {{"type", "object"},
                     {"properties", {{"p", Json::parse(schema)}}},
                     {"$defs", Json::parse(definitions)}};
  return types_of_schema(root["properties"]["p"], root);
}

TEST(ToolSchema, Types) {
  EXPECT_EQ(types_of(R"({"type": "integer"})"), ValueTypes{kInteger});
  EXPECT_EQ(types_of(R"({"type": ["string", "null"]})"), (ValueTypes{kString, kNull}));
  EXPECT_EQ(types_of(R"({"type": "number", "nullable": true})"), (ValueTypes{kNumber, kNull}));
  EXPECT_EQ(types_of(R"({"type": "number", "nullable": false})"), ValueTypes{kNumber});
  EXPECT_EQ(types_of(R"({"anyOf": [{"type": "integer"}, {"type": "null"}]})"),
            (ValueTypes{kInteger, kNull}));
  EXPECT_EQ(types_of(R"({"oneOf": [{"type": "array"}, {"allOf": [{"type": "boolean"}]}]})"),
            (ValueTypes{kArray, kBoolean}));
  EXPECT_EQ(types_of(R"({"enum": ["a", 1, 2.5, null, true]})"),
            (ValueTypes{kString, kInteger, kNumber, kNull, kBoolean}));
  EXPECT_EQ(types_of(R"({"const": 3})"), ValueTypes{kInteger});
  EXPECT_EQ(types_of(R"({"type": "string", "enum": [1]})"), ValueTypes{kString});
  EXPECT_EQ(types_of(R"({"properties": {}})"), ValueTypes{kObject});
  EXPECT_EQ(types_of(R"({"items": {"type": "string"}})"), ValueTypes{kArray});
}

TEST(ToolSchema, NothingKnownIsString) {
  EXPECT_EQ(types_of("{}"), ValueTypes{kString});
  EXPECT_EQ(types_of("true"), ValueTypes{kString});
  EXPECT_EQ(types_of(R"({"type": "any"})"), ValueTypes{kString});
  EXPECT_EQ(types_of(R"({"additionalProperties": {}})"), ValueTypes{kString});
  EXPECT_EQ(types_of(R"({"type": 3, "anyOf": 4, "enum": 5, "$ref": 6})"), ValueTypes{kString});
}

TEST(ToolSchema, Aliases) {
  const std::pair<const char*, ValueType> aliases[] = {
      {"str", kString},   {"text", kString},   {"int", kInteger},  {"long", kInteger},
      {"float", kNumber}, {"double", kNumber}, {"bool", kBoolean}, {"dict", kObject},
      {"map", kObject},   {"list", kArray},    {"none", kNull},    {"nil", kNull},
  };
  for (const auto& [name, type] : aliases) {
    EXPECT_EQ(types_of(Json{{"type", name}}.dump().c_str()), ValueTypes{type}) << name;
  }
}

TEST(ToolSchema, References) {
  EXPECT_EQ(types_of(R"({"$ref": "#/$defs/n"})", R"({"n": {"type": "number"}})"),
            ValueTypes{kNumber});
  EXPECT_EQ(types_of(R"({"$ref": "#/$defs/a"})",
                     R"({"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "integer"}]}})"),
            ValueTypes{kInteger});
  EXPECT_EQ(types_of(R"({"$ref": "#"})"), ValueTypes{kObject});
  for (const char* bad :
       {"#/$defs/missing", "#x", "other.json#/a", "", "#/$defs/~2", "#/$defs/0"}) {
    EXPECT_EQ(types_of(Json{{"$ref", bad}}.dump().c_str()), ValueTypes{kString}) << bad;
  }
}

TEST(ToolSchema, CompositionDepthIsBounded) {
  const auto nested = [](int depth) {
    Json schema = {{"type", "integer"}};
    for (int i = 0; i < depth; ++i) schema = {{"anyOf", Json::array({schema})}};
    return types_of(schema.dump().c_str());
  };
  EXPECT_EQ(nested(16), ValueTypes{kInteger});
  EXPECT_EQ(nested(17), ValueTypes{kString});
}

TEST(ToolSchema, UnknownKeysAndTools) {
  const ToolSchemas tools(normalize_tools(
      Json::parse(R"([{"name": "f", "parameters": {"properties": {"n": {"type": "integer"}}}}])")));
  ASSERT_NE(tools.find("f"), nullptr);
  EXPECT_EQ(tools.find("f")->types_of("n"), ValueTypes{kInteger});
  EXPECT_EQ(tools.find("f")->types_of("m"), ValueTypes{kString});
  EXPECT_EQ(tools.find("g"), nullptr);
}

std::string normalized(const char* tool) {
  return normalize_tools(Json::array({Json::parse(tool)})).at(0).dump();
}

TEST(NormalizeTools, OneFormForAllDialects) {
  EXPECT_EQ(normalized(R"({"type": "function", "function": {"name": "f", "strict": true,
                          "parameters": {"b": 1, "a": 2}, "description": "d"}})"),
            R"({"type":"function","function":{"name":"f","parameters":{"b":1,"a":2},)"
            R"("description":"d"}})");
  EXPECT_EQ(normalized(R"({"description": "d", "name": "f"})"),
            R"({"type":"function","function":{"description":"d","name":"f"}})");
  EXPECT_EQ(normalized(R"({"type": "function", "name": "f", "parameters": {}, "strict": true})"),
            R"({"type":"function","function":{"name":"f","parameters":{}}})");
  EXPECT_EQ(normalized(R"({"name": "f", "input_schema": {"x": 1}, "description": "d",
                          "cache_control": {}})"),
            R"({"type":"function","function":{"name":"f","parameters":{"x":1},)"
            R"("description":"d"}})");
  EXPECT_EQ(normalized(R"({"type": "custom", "name": "f", "input_schema": {}})"),
            R"({"type":"function","function":{"name":"f","parameters":{}}})");
  EXPECT_EQ(normalize_tools(nullptr).dump(), "[]");
}

TEST(NormalizeTools, ErrorsNameThePlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "tools: expected a list, got object"},
      {R"([1])", "tools[0]: expected an object, got number"},
      {R"([{"name": "f"}, {"type": "web_search"}])",
       "tools[1].type: expected function, got web_search"},
      {R"([{"function": []}])", "tools[0].function: expected an object, got array"},
      {R"([{"function": {}}])", "tools[0].name: expected a non-empty string, got nothing"},
      {R"([{"name": ""}])", "tools[0].name: expected a non-empty string, got \"\""},
      {R"([{"name": 3}])", "tools[0].name: expected a non-empty string, got 3"},
  };
  for (const auto& [tools, message] : cases) {
    try {
      (void)normalize_tools(Json::parse(tools));
      ADD_FAILURE() << tools;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), testing::HasSubstr(message));
    }
  }
}

}  // namespace
}  // namespace m2::chat
