// Typed reading of the members of a JSON object, with errors that name the key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

using Json = nlohmann::ordered_json;

/// Parses a text of bounded depth. Throws kCorruptFile naming `file`.
Json parse_json_object(std::string_view text, const std::string& file);

/// A view of an object; every read marks its key as known. Integers may be written as 4.0, and
/// {"__float__": "Infinity"} stands for a number that JSON does not have.
class JsonFields {
 public:
  /// `where` is put before the key in messages: "config: rope_parameters: ".
  JsonFields(const Json& object, std::string where);

  /// Null pointer when the key is absent.
  const Json* find(const std::string& key);
  /// Like find, but a null value counts as absent.
  const Json* find_value(const std::string& key);

  // Leave `out` as it is when the key is absent.
  void read(const std::string& key, std::int64_t& out);
  void read(const std::string& key, double& out);
  void read(const std::string& key, bool& out);
  void read(const std::string& key, std::string& out);
  // Absent and null give no value.
  void read(const std::string& key, std::optional<std::int64_t>& out);
  void read(const std::string& key, std::optional<double>& out);
  void read(const std::string& key, std::optional<bool>& out);
  void read(const std::string& key, std::optional<std::string>& out);
  // Absent leaves `out`; null empties it.
  void read(const std::string& key, std::vector<double>& out);
  void read(const std::string& key, std::vector<std::string>& out);
  /// One integer, a list of them, or null for none.
  void read_ids(const std::string& key, std::vector<std::int64_t>& out);

  /// Throws kInvalidArgument: "<where><key>: expected <expected>, got <value>".
  [[noreturn]] void reject(const std::string& key, const char* expected, const Json& value) const;
  [[nodiscard]] const std::set<std::string>& known() const { return known_; }
  [[nodiscard]] const Json& object() const { return object_; }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  std::int64_t integer(const std::string& key, const Json& value) const;
  double number(const std::string& key, const Json& value) const;

  const Json& object_;
  std::string where_;
  std::set<std::string> known_;
};

}  // namespace m2
