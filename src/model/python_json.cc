#include "model/python_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> sorted_keys(const Json& object, bool by_number) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  std::ranges::sort(keys, [by_number](const std::string& a, const std::string& b) {
    return by_number && a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return keys;
}

void write_value(const Json& value, std::size_t depth, std::string& out, bool by_number = false);

void write_line(std::size_t depth, std::string& out) { out.append("\n").append(2 * depth, ' '); }

void write_object(const Json& object, std::size_t depth, std::string& out, bool by_number) {
  const char* before = "{";
  for (const auto& key : sorted_keys(object, by_number)) {
    out += before;
    write_line(depth + 1, out);
    out += Json(key).dump(-1, ' ', true, Json::error_handler_t::replace) + ": ";
    write_value(object[key], depth + 1, out, key == "id2label");
    before = ",";
  }
  write_line(depth, out);
  out += '}';
}

void write_array(const Json& array, std::size_t depth, std::string& out) {
  const char* before = "[";
  for (const auto& item : array) {
    out += before;
    write_line(depth + 1, out);
    write_value(item, depth + 1, out);
    before = ",";
  }
  write_line(depth, out);
  out += ']';
}

void write_value(const Json& value, std::size_t depth, std::string& out, bool by_number) {
  if (value.is_object() && !value.empty()) {
    write_object(value, depth, out, by_number);
  } else if (value.is_array() && !value.empty()) {
    write_array(value, depth, out);
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const double number = value.get<double>();
    const char* name = std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
    write_object({{"__float__", name}}, depth, out, false);
  } else if (value.is_number_float()) {
    out += python_float(value.get<double>());
  } else {
    out += value.dump(-1, ' ', true, Json::error_handler_t::replace);
  }
}

}  // namespace

std::string python_float(double value) {
  // "d.ddde+XX" with the fewest digits that give the value back.
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  M2_CHECK(end.ec == std::errc(), "python_float: ", value);
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  const auto at = text.find('e');
  if (at == std::string_view::npos) fail(ErrorCode::kInternal, "python_float: ", value);
  const int exponent = std::stoi(std::string(text.substr(at + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(text);
  char plain[64];
  const auto stop = std::to_chars(plain, plain + sizeof(plain), value, std::chars_format::fixed);
  std::string result(plain, stop.ptr);
  return result.find('.') == std::string::npos ? result + ".0" : result;
}

std::string python_json_text(const Json& value) {
  std::string out;
  write_value(value, 0, out);
  return out + "\n";
}

}  // namespace m2
