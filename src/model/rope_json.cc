#include "model/rope_json.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

RopeType rope_type(JsonFields& rope) {
  const Json* name = rope.find("rope_type");
  if (name == nullptr) return RopeType::kDefault;
  if (!name->is_string()) rope.reject("rope_type", "a string", *name);
  const auto type = rope_type_from_name(name->get_ref<const std::string&>());
  M2_REQUIRE(ErrorCode::kUnsupported, type.has_value(), rope.where(), "rope_type ",
             name->dump(-1, ' ', false, Json::error_handler_t::replace), " is not supported");
  return *type;
}

bool keeps_original_length(const Json& type) {
  return type == "yarn" || type == "longrope" || type == "llama3";
}

// The keys of a type beyond rope_type and partial_rotary_factor.
struct RopeKeys {
  std::vector<const char*> required;
  std::vector<const char*> optional;
};

RopeKeys rope_keys(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return {{"rope_theta"}, {}};
    case RopeType::kLinear:
      return {{"factor", "rope_theta"}, {}};
    case RopeType::kDynamic:
      return {{"factor"}, {"rope_theta"}};
    case RopeType::kYarn:
      return {
          {"factor", "rope_theta", "original_max_position_embeddings"},
          {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"}};
    case RopeType::kLongrope:
      return {{"short_factor", "long_factor", "rope_theta", "original_max_position_embeddings"},
              {"attention_factor", "factor"}};
    case RopeType::kLlama3:
      return {{"factor", "rope_theta", "original_max_position_embeddings", "low_freq_factor",
               "high_freq_factor"},
              {}};
  }
  fail(ErrorCode::kInternal, "rope_keys: unknown type");
}

void check_rope_keys(const Json& dictionary, RopeType type, const std::string& where,
                     std::vector<std::string>& warnings) {
  const RopeKeys keys = rope_keys(type);
  for (const char* key : keys.required) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, dictionary.contains(key), where, "rope_type \"",
               rope_type_name(type), "\" needs the key ", key);
  }
  for (const auto& [key, value] : dictionary.items()) {
    const auto is_key = [&name = key](const char* other) { return name == other; };
    if (key == "type" || key == "rope_type" || key == "partial_rotary_factor" ||
        std::any_of(keys.required.begin(), keys.required.end(), is_key) ||
        std::any_of(keys.optional.begin(), keys.optional.end(), is_key)) {
      continue;
    }
    M2_REQUIRE(ErrorCode::kUnsupported, !value.is_object(), where, key,
               ": rope settings for each layer type are not supported");
    warnings.push_back(where + "rope_type \"" + std::string(rope_type_name(type)) +
                       "\" does not use the key " + key);
  }
}

// What the reference warns about: numbers that work but are probably meant otherwise.
class RopeWarnings {
 public:
  RopeWarnings(const Json& dictionary, const RopeParameters& rope, const std::string& where,
               std::vector<std::string>& warnings)
      : dictionary_(dictionary), rope_(rope), where_(where), warnings_(warnings) {}

  void factor() {
    if (!is_float("factor") || rope_.factor.value_or(1.0) < 1.0) {
      add("factor should be a fraction of at least 1.0");
    }
  }
  void optional_float(const char* key, double least) {
    const auto value = dictionary_.find(key);
    if (value == dictionary_.end() || value->is_null()) return;
    if (!value->is_number_float() || value->get<double>() < least) {
      add(std::string(key) + " should be a fraction of at least " + (least < 0 ? "-inf" : "0"));
    }
  }
  void yarn(std::int64_t max_positions) {
    factor();
    optional_float("attention_factor", 0.0);
    optional_float("beta_fast", kAny);
    optional_float("beta_slow", kAny);
    const auto or_default = [](const std::optional<double>& value, double otherwise) {
      return value.value_or(0.0) == 0.0 ? otherwise : *value;
    };
    if (or_default(rope_.beta_fast, 32) < or_default(rope_.beta_slow, 1)) {
      add("beta_fast should not be below beta_slow");
    }
    const double original =
        static_cast<double>(rope_.original_max_position_embeddings.value_or(max_positions));
    const double ratio = static_cast<double>(max_positions) / original;
    if (ratio != 1.0 && rope_.factor.has_value() && ratio != *rope_.factor) {
      add("factor is not max_position_embeddings / original_max_position_embeddings");
    }
  }
  void longrope() {
    if (rope_.factor.has_value()) {
      factor();
    } else {
      add("factor should be given; it follows from original_max_position_embeddings");
    }
    optional_float("attention_factor", 0.0);
  }
  void llama3(std::int64_t max_positions) {
    factor();
    if (!is_float("low_freq_factor")) add("low_freq_factor should be a fraction");
    if (!is_float("high_freq_factor")) add("high_freq_factor should be a fraction");
    if (rope_.high_freq_factor <= rope_.low_freq_factor) {
      add("high_freq_factor should be above low_freq_factor");
    }
    if (rope_.original_max_position_embeddings.value_or(max_positions) >= max_positions) {
      add("original_max_position_embeddings should be below max_position_embeddings");
    }
  }

 private:
  static constexpr double kAny = -1e300;
  [[nodiscard]] bool is_float(const char* key) const {
    const auto value = dictionary_.find(key);
    return value != dictionary_.end() && value->is_number_float();
  }
  void add(const std::string& sentence) { warnings_.push_back(where_ + sentence); }

  const Json& dictionary_;
  const RopeParameters& rope_;
  const std::string& where_;
  std::vector<std::string>& warnings_;
};

template <typename T>
void put(Json& dictionary, const char* key, const std::optional<T>& value) {
  if (value.has_value()) dictionary[key] = *value;
}

}  // namespace

Json standard_rope(JsonFields& fields, std::int64_t max_position_embeddings) {
  Json rope = Json::object();
  for (const char* key : {"rope_parameters", "rope_scaling"}) {  // the legacy one wins
    const Json* value = fields.find_value(key);
    if (value == nullptr) continue;
    if (!value->is_object()) fields.reject(key, "an object", *value);
    if (!value->empty()) rope = *value;
  }
  const Json* theta = fields.find("rope_theta");
  if (!rope.contains("rope_theta")) {
    rope["rope_theta"] = theta != nullptr ? *theta : Json(RopeParameters().rope_theta);
  }
  if (!rope.contains("rope_type")) rope["rope_type"] = rope.value("type", Json("default"));
  // Types other than the default are standardised again when the reference builds the model, and
  // then the top level wins over the dictionary.
  const bool top_level_wins = rope["rope_type"] != "default";
  const Json* partial = fields.find_value("partial_rotary_factor");
  if (partial != nullptr && (top_level_wins || !rope.contains("partial_rotary_factor"))) {
    rope["partial_rotary_factor"] = *partial;
  }
  const Json* original = fields.find_value("original_max_position_embeddings");
  if (keeps_original_length(rope["rope_type"])) {
    if (original != nullptr) {
      rope["original_max_position_embeddings"] = *original;
    } else if (!rope.contains("original_max_position_embeddings")) {
      rope["original_max_position_embeddings"] = max_position_embeddings;
    }
  }
  return rope;
}

RopeParameters read_rope(const Json& dictionary, const std::string& where) {
  JsonFields rope(dictionary, where);
  RopeParameters parameters;
  parameters.type = rope_type(rope);
  rope.read("rope_theta", parameters.rope_theta);
  rope.read("partial_rotary_factor", parameters.partial_rotary_factor);
  rope.read("factor", parameters.factor);
  rope.read("original_max_position_embeddings", parameters.original_max_position_embeddings);
  rope.read("attention_factor", parameters.attention_factor);
  rope.read("beta_fast", parameters.beta_fast);
  rope.read("beta_slow", parameters.beta_slow);
  rope.read("mscale", parameters.mscale);
  rope.read("mscale_all_dim", parameters.mscale_all_dim);
  rope.read("truncate", parameters.truncate);
  rope.read("low_freq_factor", parameters.low_freq_factor);
  rope.read("high_freq_factor", parameters.high_freq_factor);
  rope.read("short_factor", parameters.short_factor);
  rope.read("long_factor", parameters.long_factor);
  return parameters;
}

void check_rope(const Json& dictionary, const RopeParameters& rope,
                std::int64_t max_position_embeddings, const std::string& where,
                std::vector<std::string>& warnings) {
  check_rope_keys(dictionary, rope.type, where, warnings);
  RopeWarnings check(dictionary, rope, where, warnings);
  switch (rope.type) {
    case RopeType::kDefault:
      return;
    case RopeType::kLinear:
    case RopeType::kDynamic:
      return check.factor();
    case RopeType::kYarn:
      return check.yarn(max_position_embeddings);
    case RopeType::kLongrope:
      return check.longrope();
    case RopeType::kLlama3:
      return check.llama3(max_position_embeddings);
  }
}

Json rope_json(const RopeParameters& rope) {
  Json dictionary = Json::object();
  dictionary["rope_type"] = rope_type_name(rope.type);
  dictionary["rope_theta"] = rope.rope_theta;
  put(dictionary, "partial_rotary_factor", rope.partial_rotary_factor);
  put(dictionary, "factor", rope.factor);
  put(dictionary, "original_max_position_embeddings", rope.original_max_position_embeddings);
  put(dictionary, "attention_factor", rope.attention_factor);
  put(dictionary, "beta_fast", rope.beta_fast);
  put(dictionary, "beta_slow", rope.beta_slow);
  put(dictionary, "mscale", rope.mscale);
  put(dictionary, "mscale_all_dim", rope.mscale_all_dim);
  put(dictionary, "truncate", rope.truncate);
  put(dictionary, "low_freq_factor", rope.low_freq_factor);
  put(dictionary, "high_freq_factor", rope.high_freq_factor);
  if (!rope.short_factor.empty()) dictionary["short_factor"] = rope.short_factor;
  if (!rope.long_factor.empty()) dictionary["long_factor"] = rope.long_factor;
  return dictionary;
}

}  // namespace m2
