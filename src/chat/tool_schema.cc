#include "chat/tool_schema.h"

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/error.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxSchemaDepth = 16;
constexpr size_t kMaxSchemaNodes = 1'000;

constexpr std::pair<std::string_view, ValueType> kTypeNames[] = {
    {"string", ValueType::kString},   {"str", ValueType::kString},   {"text", ValueType::kString},
    {"integer", ValueType::kInteger}, {"int", ValueType::kInteger},  {"long", ValueType::kInteger},
    {"number", ValueType::kNumber},   {"float", ValueType::kNumber}, {"double", ValueType::kNumber},
    {"boolean", ValueType::kBoolean}, {"bool", ValueType::kBoolean}, {"object", ValueType::kObject},
    {"dict", ValueType::kObject},     {"map", ValueType::kObject},   {"array", ValueType::kArray},
    {"list", ValueType::kArray},      {"null", ValueType::kNull},    {"none", ValueType::kNull},
    {"nil", ValueType::kNull},
};

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

// "#" or "#/a/b": the part of `root` that the reference names.
const Json* resolve(const Json& reference, const Json& root) {
  if (!reference.is_string()) return nullptr;
  const auto& text = reference.get_ref<const std::string&>();
  if (text.empty() || text[0] != '#') return nullptr;
  try {
    const Json::json_pointer pointer(text.substr(1));
    return root.contains(pointer) ? &root.at(pointer) : nullptr;
  } catch (const nlohmann::json::exception&) {
    return nullptr;  // no JSON pointer: nothing is known
  }
}

ValueType type_of_value(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return ValueType::kNull;
    case Json::value_t::boolean:
      return ValueType::kBoolean;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return ValueType::kInteger;
    case Json::value_t::number_float:
      return ValueType::kNumber;
    case Json::value_t::object:
      return ValueType::kObject;
    case Json::value_t::array:
      return ValueType::kArray;
    default:
      return ValueType::kString;
  }
}

class TypeCollector {
 public:
  explicit TypeCollector(const Json& root) : root_(root) {}

  // Breadth first: every node is met first at its smallest depth.
  ValueTypes collect(const Json& schema) {
    enqueue(&schema, 0);
    while (!queue_.empty()) {
      const auto [node, depth] = queue_.front();
      queue_.pop_front();
      visit(*node, depth);
    }
    if (types_.empty()) types_.insert(ValueType::kString);
    return types_;
  }

 private:
  void enqueue(const Json* node, int depth) {
    if (node == nullptr || !node->is_object() || depth > kMaxSchemaDepth) return;
    if (visited_.size() >= kMaxSchemaNodes || !visited_.insert(node).second) return;
    queue_.emplace_back(node, depth);
  }

  void visit(const Json& node, int depth) {
    const Json* type = member(node, "type");
    if (type != nullptr) add_type(*type);
    const Json* reference = member(node, "$ref");
    if (reference != nullptr) enqueue(resolve(*reference, root_), depth + 1);
    for (const char* key : {"anyOf", "oneOf", "allOf"}) {
      const Json* members = member(node, key);
      if (members == nullptr || !members->is_array()) continue;
      for (const Json& item : *members) enqueue(&item, depth + 1);
    }
    if (type == nullptr) infer(node);
    const Json* nullable = member(node, "nullable");
    if (nullable != nullptr && *nullable == true) types_.insert(ValueType::kNull);
  }

  void add_type(const Json& type) {
    if (type.is_array()) {
      for (const Json& item : type) add_name(item);
    } else {
      add_name(type);
    }
  }

  void add_name(const Json& name) {
    if (!name.is_string()) return;
    for (const auto& [text, type] : kTypeNames) {
      if (name.get_ref<const std::string&>() == text) types_.insert(type);
    }
  }

  void infer(const Json& node) {
    const Json* values = member(node, "enum");
    if (values != nullptr && values->is_array()) {
      for (const Json& value : *values) types_.insert(type_of_value(value));
    }
    if (const Json* value = member(node, "const")) types_.insert(type_of_value(*value));
    if (member(node, "properties") != nullptr) types_.insert(ValueType::kObject);
    if (member(node, "items") != nullptr) types_.insert(ValueType::kArray);
  }

  const Json& root_;
  ValueTypes types_;
  std::deque<std::pair<const Json*, int>> queue_;
  std::unordered_set<const Json*> visited_;
};

bool has_type(const Json& tool, const char* expected) {
  const Json* type = member(tool, "type");
  return type != nullptr && *type == expected;
}

// The object that carries name, description and parameters.
const Json& function_of(const Json& tool, const std::string& where) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, tool.is_object(), where, ": expected an object, got ",
             tool.type_name());
  if (const Json* function = member(tool, "function")) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, function->is_object(), where,
               ".function: expected an object, got ", function->type_name());
    return *function;
  }
  const Json* type = member(tool, "type");
  const bool flat = type == nullptr || type->is_null() || has_type(tool, "function") ||
                    (has_type(tool, "custom") && member(tool, "input_schema") != nullptr);
  M2_REQUIRE(ErrorCode::kInvalidArgument, flat, where, ".type: expected function, got ",
             type->is_string() ? type->get<std::string>() : type->type_name());
  return tool;
}

}  // namespace

ValueTypes types_of_schema(const Json& schema, const Json& root) {
  return TypeCollector(root).collect(schema);
}

ToolSchema::ToolSchema(const Json& function) : name_(function.at("name").get<std::string>()) {
  const Json* parameters = member(function, "parameters");
  if (parameters == nullptr) return;
  const Json* properties = member(*parameters, "properties");
  if (properties == nullptr || !properties->is_object()) return;
  for (const auto& [key, schema] : properties->items()) {
    types_.emplace(key, types_of_schema(schema, *parameters));
  }
}

ValueTypes ToolSchema::types_of(std::string_view parameter) const {
  const auto it = types_.find(parameter);
  return it == types_.end() ? ValueTypes{ValueType::kString} : it->second;
}

ToolSchema::HeaderMatch ToolSchema::match_parameter_header(
    std::string_view text, const std::set<std::string, std::less<>>& given) const {
  constexpr std::string_view kOpen = "<parameter name=\"";
  constexpr std::string_view kClose = "\">";
  const auto starts_with_either = [](std::string_view a, std::string_view b) {
    const size_t length = std::min(a.size(), b.size());
    return a.substr(0, length) == b.substr(0, length);
  };
  if (!starts_with_either(text, kOpen)) return HeaderMatch::kNone;
  const std::string_view rest = text.size() > kOpen.size() ? text.substr(kOpen.size()) : "";
  bool partial = false;
  for (const auto& [key, types] : types_) {
    if (!starts_with_either(rest, key) || given.contains(key)) continue;
    const std::string_view tail = rest.size() > key.size() ? rest.substr(key.size()) : "";
    if (!starts_with_either(tail, kClose)) continue;
    if (tail.size() >= kClose.size()) return HeaderMatch::kWhole;
    partial = true;
  }
  return partial ? HeaderMatch::kPartial : HeaderMatch::kNone;
}

ToolSchemas::ToolSchemas(const Json& tools) {
  for (const Json& tool : tools) {
    ToolSchema schema(tool.at("function"));
    std::string name = schema.name();
    tools_.emplace(std::move(name), std::move(schema));
  }
}

const ToolSchema* ToolSchemas::find(std::string_view name) const {
  const auto it = tools_.find(name);
  return it == tools_.end() ? nullptr : &it->second;
}

Json normalize_tools(const Json& tools) {
  if (tools.is_null()) return Json::array();
  M2_REQUIRE(ErrorCode::kInvalidArgument, tools.is_array(), "tools: expected a list, got ",
             tools.type_name());
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string where = concat("tools[", i, "]");
    const Json& source = function_of(tools[i], where);
    Json function = Json::object();
    for (const auto& [key, value] : source.items()) {
      if (key == "name" || key == "description" || key == "parameters") function[key] = value;
      if (key == "input_schema" && !source.contains("parameters")) function["parameters"] = value;
    }
    const Json* name = member(function, "name");
    M2_REQUIRE(ErrorCode::kInvalidArgument,
               name != nullptr && name->is_string() && !name->get_ref<const std::string&>().empty(),
               where, ".name: expected a non-empty string, got ",
               name == nullptr ? "nothing" : name->dump());
    result.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return result;
}

}  // namespace m2::chat
