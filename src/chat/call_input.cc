#include "chat/call_input.h"

#include <utility>

#include "base/error.h"
#include "chat/json_input.h"
#include "chat/white_space.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;
using jinja::Trust;
using jinja::Value;

// Builds template values from the events of nlohmann's parser. Its own values would turn integers
// beyond 64 bits into floats and look keys up one by one.
class ValueBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add(Value::none()); }
  bool boolean(bool value) override { return add(Value::boolean(value)); }
  bool number_integer(number_integer_t value) override { return add(Value::integer(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(Value::integer(value)); }
  bool number_float(number_float_t value, const string_t& text) override {
    return add(big_integer(text).value_or(Value::floating(value)));
  }
  bool string(string_t& text) override { return add(untrusted(text)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& text) override {
    frames_.back().keys.push_back(untrusted(text));
    return true;
  }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override {
    Frame frame = close();
    Value dict = Value::dict();
    for (size_t i = 0; i < frame.keys.size(); ++i) {
      dict.as_dict().set(std::move(frame.keys[i]), std::move(frame.values[i]));
    }
    return add(std::move(dict));
  }
  bool end_array() override {
    Frame frame = close();
    return add(Value::list(std::move(frame.values)));
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

  [[nodiscard]] Value result() && { return std::move(result_); }

 private:
  struct Frame {
    std::vector<Value> keys;  // of an object
    std::vector<Value> values;
  };

  static Value untrusted(std::string& text) {
    return Value::string(std::move(text), Trust::kUntrusted);
  }

  static std::optional<Value> big_integer(std::string_view text) {
    constexpr size_t kMaxDigits = 38;  // of a 128-bit integer
    const bool negative = text.starts_with('-');
    const std::string_view digits = text.substr(negative ? 1 : 0);
    if (digits.size() > kMaxDigits ||
        digits.find_first_not_of("0123456789") != std::string_view::npos) {
      return std::nullopt;
    }
    jinja::Int value = 0;
    for (const char digit : digits) value = value * 10 + (digit - '0');
    return Value::integer(negative ? -value : value);
  }

  bool open() {
    if (frames_.size() >= kMaxJsonDepth) return false;
    frames_.emplace_back();
    return true;
  }

  Frame close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    return frame;
  }

  bool add(Value value) {
    if (frames_.empty()) {
      result_ = std::move(value);
    } else {
      frames_.back().values.push_back(std::move(value));
    }
    return true;
  }

  std::vector<Frame> frames_;
  Value result_;
};

Value wrapped(std::string text) {
  Value dict = Value::dict();
  dict.as_dict().set("arguments", Value::string(std::move(text), Trust::kUntrusted));
  return dict;
}

Value read_arguments(const Json* arguments, BadArguments bad_arguments, const std::string& where) {
  if (arguments == nullptr) return Value::dict();
  if (arguments->is_object()) return jinja::from_json(*arguments, Trust::kUntrusted);
  if (arguments->is_string()) {
    const auto& text = arguments->get_ref<const std::string&>();
    if (trim(text).empty()) return Value::dict();
    if (auto value = parse_arguments(text)) return *std::move(value);
    if (bad_arguments == BadArguments::kWrap) return wrapped(text);
  } else if (bad_arguments == BadArguments::kWrap) {
    return wrapped(dump_json(*arguments));
  }
  fail(ErrorCode::kInvalidArgument, where, ": expected a JSON object, got ", describe(arguments));
}

CallInput read_call(const Json& call, BadArguments bad_arguments, const std::string& where) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, call.is_object(), where, ": expected an object, got ",
             call.type_name());
  const Json* function = find_member(call, "function");
  const std::string place = function != nullptr ? where + ".function" : where;
  if (function == nullptr) function = &call;
  const Json* name = find_member(*function, "name");
  M2_REQUIRE(ErrorCode::kInvalidArgument, name != nullptr && name->is_string(), place,
             ".name: expected a string, got ", describe(name));
  const Json* id = find_member(call, "id");
  M2_REQUIRE(ErrorCode::kInvalidArgument, id == nullptr || id->is_string(), where,
             ".id: expected a string, got ", describe(id));
  return {.id = id == nullptr ? "" : id->get<std::string>(),
          .name = name->get<std::string>(),
          .arguments = read_arguments(find_member(*function, "arguments"), bad_arguments,
                                      place + ".arguments")};
}

}  // namespace

std::optional<Value> parse_arguments(std::string_view text) {
  ValueBuilder builder;
  if (!nlohmann::json::sax_parse(text, &builder)) return std::nullopt;
  Value value = std::move(builder).result();
  if (!value.is_dict()) return std::nullopt;
  return value;
}

std::vector<CallInput> read_calls(const Json& message, BadArguments bad_arguments,
                                  const std::string& where) {
  std::vector<CallInput> calls;
  if (const Json* list = find_member(message, "tool_calls")) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, list->is_array(), where,
               ".tool_calls: expected a list, got ", list->type_name());
    for (size_t i = 0; i < list->size(); ++i) {
      calls.push_back(read_call((*list)[i], bad_arguments, concat(where, ".tool_calls[", i, "]")));
    }
  }
  const Json* function_call = find_member(message, "function_call");
  if (calls.empty() && function_call != nullptr) {
    calls.push_back(read_call(*function_call, bad_arguments, where + ".function_call"));
  }
  return calls;
}

}  // namespace m2::chat
