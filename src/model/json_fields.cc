#include "model/json_fields.h"

#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::size_t kMaxTextBytes = 64U << 20U;
// Writing a value back is recursive, so the depth has a bound.
constexpr int kMaxDepth = 64;

std::string shorten(std::string text) {
  constexpr std::size_t kMaxShown = 60;
  if (text.size() <= kMaxShown) return text;
  return text.substr(0, kMaxShown) + "...";
}

}  // namespace

Json parse_json_object(std::string_view text, const std::string& file) {
  M2_REQUIRE(ErrorCode::kCorruptFile, text.size() <= kMaxTextBytes, file, ": ", text.size(),
             " bytes exceed the limit of ", kMaxTextBytes);
  const auto check_depth = [&file](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    M2_REQUIRE(ErrorCode::kCorruptFile, depth <= kMaxDepth, file, ": nested deeper than ",
               kMaxDepth);
    return true;
  };
  Json json;
  try {
    json = Json::parse(text, check_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, file, ": not valid JSON: ", error.what());
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, json.is_object(), file, ": expected a JSON object, got ",
             json.type_name());
  return json;
}

JsonFields::JsonFields(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

void JsonFields::reject(const std::string& key, const char* expected, const Json& value) const {
  fail(ErrorCode::kInvalidArgument, where_, key, ": expected ", expected, ", got ",
       shorten(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

const Json* JsonFields::find(const std::string& key) {
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

const Json* JsonFields::find_value(const std::string& key) {
  const Json* value = find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::int64_t JsonFields::integer(const std::string& key, const Json& value) const {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMax)) {
    return value.get<std::int64_t>();
  }
  if (value.is_number_integer() && !value.is_number_unsigned()) return value.get<std::int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) < 9e15) {
      return static_cast<std::int64_t>(number);
    }
  }
  reject(key, "an integer", value);
}

double JsonFields::number(const std::string& key, const Json& value) const {
  if (value.is_number()) return value.get<double>();
  if (value.is_object() && value.size() == 1 && value.contains("__float__")) {
    const auto& name = value["__float__"];
    if (name == "Infinity") return std::numeric_limits<double>::infinity();
    if (name == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (name == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  reject(key, "a number", value);
}

void JsonFields::read(const std::string& key, std::int64_t& out) {
  if (const Json* value = find(key)) out = integer(key, *value);
}

void JsonFields::read(const std::string& key, double& out) {
  if (const Json* value = find(key)) out = number(key, *value);
}

void JsonFields::read(const std::string& key, bool& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) reject(key, "true or false", *value);
  out = value->get<bool>();
}

void JsonFields::read(const std::string& key, std::string& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_string()) reject(key, "a string", *value);
  out = value->get<std::string>();
}

void JsonFields::read(const std::string& key, std::optional<std::int64_t>& out) {
  if (const Json* value = find(key)) {
    out = value->is_null() ? std::nullopt : std::optional(integer(key, *value));
  }
}

void JsonFields::read(const std::string& key, std::optional<double>& out) {
  if (const Json* value = find(key)) {
    out = value->is_null() ? std::nullopt : std::optional(number(key, *value));
  }
}

void JsonFields::read(const std::string& key, std::optional<bool>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_boolean() && !value->is_null()) reject(key, "true or false", *value);
  out = value->is_null() ? std::nullopt : std::optional(value->get<bool>());
}

void JsonFields::read(const std::string& key, std::optional<std::string>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_string() && !value->is_null()) reject(key, "a string", *value);
  out = value->is_null() ? std::nullopt : std::optional(value->get<std::string>());
}

void JsonFields::read(const std::string& key, std::vector<double>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_array() && !value->is_null()) reject(key, "a list of numbers", *value);
  out.clear();
  for (const auto& item : *value) out.push_back(number(key, item));
}

void JsonFields::read(const std::string& key, std::vector<std::string>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_array() && !value->is_null()) reject(key, "a list of strings", *value);
  out.clear();
  for (const auto& item : *value) {
    if (!item.is_string()) reject(key, "a list of strings", *value);
    out.push_back(item.get<std::string>());
  }
}

void JsonFields::read_ids(const std::string& key, std::vector<std::int64_t>& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  out.clear();
  if (value->is_array()) {
    for (const auto& item : *value) out.push_back(integer(key, item));
  } else if (!value->is_null()) {
    out.push_back(integer(key, *value));
  }
}

}  // namespace m2
