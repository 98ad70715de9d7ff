// GenerationConfig from and to JSON.
#include "m2/generation_config.h"

#include "base/error.h"
#include "base/reference_version.h"
#include "generation/generation_config_fields.h"
#include "generation/gguf_generation.h"
#include "generation/neutral_fields.h"
#include "gguf/gguf.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace m2 {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20U;
constexpr int kMaxDepth = 32;  // json::dump recurses
// Lengths are added to each other; 2^31 - 1 keeps every sum small and every id an int32.
constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int32_t>::max();

std::string excerpt(const json& value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

[[noreturn]] void fail_type(std::string_view name, std::string_view expected, const json& value) {
  fail(ErrorCode::kInvalidArgument, name, ": expected ", expected, ", got ", excerpt(value));
}

std::int64_t read_integer(std::string_view name, const json& value) {
  if (!value.is_number_integer()) fail_type(name, "an integer", value);
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxInteger)
                        : value.get<std::int64_t>() >= -kMaxInteger;
  if (!fits) fail_type(name, "an integer of at most 31 bits", value);
  return value.get<std::int64_t>();
}

// A seed is a key, not a count: all 64 bits are welcome.
std::int64_t read_seed(std::string_view name, const json& value) {
  if (!value.is_number_integer()) fail_type(name, "an integer", value);
  return value.is_number_unsigned() ? static_cast<std::int64_t>(value.get<std::uint64_t>())
                                    : value.get<std::int64_t>();
}

double read_number(std::string_view name, const json& value) {
  if (!value.is_number()) fail_type(name, "a number", value);
  // The reference's processors take these two as floats only; 1 means off, 0 is refused when used.
  const bool is_strict =
      name == "temperature" || name == "repetition_penalty" || name == "encoder_repetition_penalty";
  if (is_strict && value.is_number_integer() && value.get<double>() > 1.0) {
    fail_type(name, "a float such as 2.0", value);
  }
  return value.get<double>();
}

void read(std::string_view name, const json& value, bool& out) {
  if (!value.is_boolean()) fail_type(name, "true or false", value);
  out = value.get<bool>();
}

void read(std::string_view name, const json& value, std::int64_t& out) {
  out = name == "seed" ? read_seed(name, value) : read_integer(name, value);
}

void read(std::string_view name, const json& value, std::int32_t& out) {
  out = static_cast<std::int32_t>(read_integer(name, value));
}

void read(std::string_view name, const json& value, double& out) { out = read_number(name, value); }

void read(std::string_view name, const json& value, std::string& out) {
  if (!value.is_string()) fail_type(name, "a string", value);
  out = value.get<std::string>();
}

// JSON has no infinite numbers; the reference writes them so.
constexpr const char* kFloat = "__float__";
constexpr const char* kInfinity = "Infinity";
constexpr const char* kMinusInfinity = "-Infinity";

std::optional<float> read_bias(const json& value) {
  if (value.is_number_float()) return static_cast<float>(value.get<double>());
  if (value == json::object({{kFloat, kInfinity}})) return std::numeric_limits<float>::infinity();
  if (value == json::object({{kFloat, kMinusInfinity}}))
    return -std::numeric_limits<float>::infinity();
  return std::nullopt;
}

void read(std::string_view name, const json& value, SequenceBias& out) {
  const bool pair = value.is_array() && value.size() == 2 && value[0].is_array();
  const auto bias = pair && !value[0].empty() ? read_bias(value[1]) : std::nullopt;
  if (!bias) fail_type(name, "pairs of a list of ids and a float", value);
  for (const json& id : value[0]) {
    read(name, id, out.ids.emplace_back());
    if (out.ids.back() < 0) fail_type(name, "ids of 0 or more", id);
  }
  out.bias = *bias;
}

void read(std::string_view name, const json& value, EarlyStopping& out) {
  if (!value.is_boolean() && value != "never") fail_type(name, R"(true, false or "never")", value);
  out = value.is_string()   ? EarlyStopping::kNever
        : value.get<bool>() ? EarlyStopping::kYes
                            : EarlyStopping::kNo;
}

void read(std::string_view name, const json& value, QuantizedCacheConfig& out) {
  if (!value.is_object()) fail_type(name, "an object", value);
  for (const auto& [key, item] : value.items()) {
    if (key == "nbits") {
      out.nbits = read_integer(key, item);
    } else if (key == "q_group_size") {
      out.q_group_size = read_integer(key, item);
    } else if (key == "residual_length") {
      out.residual_length = read_integer(key, item);
    } else {
      fail(ErrorCode::kUnsupported, name, ": ", key,
           " is an option of the reference's own backends");
    }
  }
}

void read(std::string_view name, const json& value, ExponentialDecay& out) {
  if (!value.is_array() || value.size() != 2) fail_type(name, "[start, factor]", value);
  read(name, value[0], out.start);
  read(name, value[1], out.factor);
}

template <typename T>
void read_list(std::string_view name, const json& value, std::vector<T>& out) {
  if (!value.is_array()) fail_type(name, "a list", value);
  out.reserve(value.size());
  for (const json& item : value) read(name, item, out.emplace_back());
}

void read(std::string_view name, const json& value, std::vector<SequenceBias>& out) {
  read_list(name, value, out);
}

void read(std::string_view name, const json& value, std::vector<std::vector<std::int32_t>>& out) {
  if (!value.is_array()) fail_type(name, "a list of lists", value);
  for (const json& item : value) read_list(name, item, out.emplace_back());
}

// One id or string stands for a list of one.
template <typename T>
void read(std::string_view name, const json& value, std::vector<T>& out) {
  if (value.is_array()) {
    read_list(name, value, out);
  } else {
    read(name, value, out.emplace_back());
  }
}

json write(const SequenceBias& bias) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !std::isnan(bias.bias), "sequence_bias: a bias is NaN");
  if (std::isfinite(bias.bias)) return json::array({bias.ids, bias.bias});
  const char* name = bias.bias > 0 ? kInfinity : kMinusInfinity;
  return json::array({bias.ids, json::object({{kFloat, name}})});
}
json write(const ExponentialDecay& decay) { return json::array({decay.start, decay.factor}); }
json write(EarlyStopping early_stopping) {
  if (early_stopping == EarlyStopping::kNever) return "never";
  return early_stopping == EarlyStopping::kYes;
}
json write(const QuantizedCacheConfig& config) {
  return {{"nbits", config.nbits},
          {"q_group_size", config.q_group_size},
          {"residual_length", config.residual_length}};
}
json write(const std::vector<SequenceBias>& biases) {
  json list = json::array();
  for (const auto& bias : biases) list.push_back(write(bias));
  return list;
}
json write(const std::vector<std::int32_t>& ids) {
  return ids.size() == 1 ? json(ids[0]) : json(ids);
}
template <typename T>
json write(const T& value) {
  return value;
}

// Returns false if no field has that name.
bool read_field(const std::string& name, const json& value, GenerationConfig& config) {
  bool is_known = false;
  generation::visit_fields([&](const auto& field) {
    if (is_known || name != field.name) return;
    is_known = true;
    auto& member = config.*field.member;
    member.reset();
    if (!value.is_null()) read(name, value, member.emplace());
  });
  return is_known;
}

bool read_entry(const std::string& name, const json& value, GenerationConfig& config) {
  if (read_field(name, value, config)) return true;
  return generation::read_neutral_field(name, value, config.neutral);
}

json parse_object(std::string_view text, ErrorCode code, const std::string& where) {
  M2_REQUIRE(code, text.size() <= kMaxTextBytes, where, ": ", text.size(), " bytes are too many");
  const auto limit_depth = [&](int depth, json::parse_event_t /*event*/, json& /*value*/) {
    M2_REQUIRE(code, depth <= kMaxDepth, where, ": nested deeper than ", kMaxDepth, " levels");
    return true;
  };
  json object;
  try {
    object = json::parse(text, limit_depth);
  } catch (const json::exception& error) {
    fail(code, where, ": no valid JSON: ", error.what());
  }
  M2_REQUIRE(code, object.is_object(), where, ": expected a JSON object, got ", object.type_name());
  return object;
}

void read_object(const json& object, GenerationConfig& config) {
  std::string unknown;
  for (const auto& [name, value] : object.items()) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, !generation::is_call_argument(name), name,
               ": is an argument of the call, not of the configuration");
    if (!read_entry(name, value, config)) unknown += (unknown.empty() ? "" : ", ") + name;
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, unknown.empty(), "unknown generation option: ", unknown);
  generation::validate_fields(config);
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  M2_REQUIRE(ErrorCode::kNotFound, in.good(), "cannot read ", path.string());
  std::string text(std::istreambuf_iterator<char>(in), {});
  M2_REQUIRE(ErrorCode::kNotFound, !in.bad(), "cannot read ", path.string());
  return text;
}

json object_of(const GenerationConfig& config) {
  json object = json::object();
  for (const auto& [name, value] : config.neutral) {
    object[name] = json::parse(value, nullptr, /*allow_exceptions=*/false);
    M2_REQUIRE(ErrorCode::kInvalidArgument, !object[name].is_discarded(), name,
               ": the kept value is no JSON text");
  }
  generation::visit_fields([&](const auto& field) {
    const auto& member = config.*field.member;
    if (member.has_value()) object[field.name] = write(*member);
  });
  return object;
}

std::string text_of(const json& object) {
  return object.dump(2, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace) + "\n";
}

}  // namespace

GenerationConfig GenerationConfig::from_json(std::string_view text) {
  GenerationConfig config;
  read_object(parse_object(text, ErrorCode::kInvalidArgument, "generation config"), config);
  config.validate();
  return config;
}

GenerationConfig GenerationConfig::from_pretrained(const std::filesystem::path& path) {
  GenerationConfig config;
  std::error_code ignored;
  const auto own = path / "generation_config.json";
  if (std::filesystem::is_regular_file(own, ignored)) {
    read_object(parse_object(read_text(own), ErrorCode::kCorruptFile, own.string()), config);
    config.neutral.erase("transformers_version");  // of the writer; the next one says its own
    config.validate();
    return config;
  }
  const auto model = path / "config.json";
  const auto gguf =
      std::filesystem::is_regular_file(model, ignored) ? std::nullopt : find_gguf(path);
  if (gguf.has_value()) return generation::read_gguf_generation(GgufModel(*gguf).metadata());
  M2_REQUIRE(ErrorCode::kNotFound, std::filesystem::is_regular_file(model, ignored), "neither ",
             own.string(), " nor config.json beside it exists");
  const json object = parse_object(read_text(model), ErrorCode::kCorruptFile, model.string());
  for (const auto& [name, value] : object.items()) {
    if (!generation::is_metadata(name)) read_entry(name, value, config);
  }
  config.neutral["_from_model_config"] = "true";
  config.validate();
  return config;
}

void GenerationConfig::update_from_json(std::string_view text) {
  const json object = parse_object(text, ErrorCode::kInvalidArgument, "generation options");
  GenerationConfig updated = *this;
  read_object(object, updated);
  generation::visit_fields([&](const auto& field) {
    const auto found = object.find(field.name);
    if (found == object.end()) return;
    if (found->is_null()) {
      updated.turned_off.insert(field.name);
    } else {
      updated.turned_off.erase(field.name);
    }
  });
  *this = std::move(updated);
}

std::string GenerationConfig::to_json() const { return text_of(object_of(*this)); }

void GenerationConfig::save_pretrained(const std::filesystem::path& directory) const {
  validate();
  const auto doubts = warnings();
  M2_REQUIRE(ErrorCode::kInvalidArgument, doubts.empty(), "not saved: ", doubts.front());
  json object = object_of(*this);
  object["transformers_version"] = kReferenceVersion;
  const auto path = directory / "generation_config.json";
  std::ofstream out(path, std::ios::binary);
  out << text_of(object);
  out.close();
  M2_REQUIRE(ErrorCode::kNotFound, out.good(), "cannot write ", path.string());
}

}  // namespace m2
