#include "text/tokenizer_config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace m2 {
namespace {

using nlohmann::json;

// Deeply nested input would make nlohmann's recursive copies and destructors dangerous.
constexpr int kMaxDepth = 64;
// transformers writes 1e30 for "no limit"; whatever is beyond this means the same.
constexpr double kNoMaxLength = 1e15;

json parse(std::string_view text) {
  const auto limit_depth = [](int depth, json::parse_event_t /*event*/, json& /*value*/) {
    M2_REQUIRE(ErrorCode::kCorruptFile, depth <= kMaxDepth,
               "tokenizer_config.json: nested deeper than ", kMaxDepth);
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), limit_depth);
  } catch (const json::exception& error) {
    fail(ErrorCode::kCorruptFile, "tokenizer_config.json: ", error.what());
  }
}

// A token is given as its text or as an object with it.
std::optional<std::string> token(const json& config, const char* key) {
  if (!config.contains(key) || config.at(key).is_null()) return std::nullopt;
  const json& value = config.at(key);
  if (value.is_string()) return value.get<std::string>();
  M2_REQUIRE(ErrorCode::kCorruptFile,
             value.is_object() && value.contains("content") && value.at("content").is_string(),
             "tokenizer_config.json: ", key, ": expected a string or an object with content");
  return value.at("content").get<std::string>();
}

Side side(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return Side::kRight;
  M2_REQUIRE(ErrorCode::kCorruptFile, *found == "left" || *found == "right",
             "tokenizer_config.json: ", key, ": expected left or right");
  return *found == "left" ? Side::kLeft : Side::kRight;
}

}  // namespace

TokenizerConfig parse_tokenizer_config(std::string_view text) {
  const json config = parse(text);
  M2_REQUIRE(ErrorCode::kCorruptFile, config.is_object(),
             "tokenizer_config.json: expected an object");
  TokenizerConfig result{.bos_token = token(config, "bos_token"),
                         .eos_token = token(config, "eos_token"),
                         .unk_token = token(config, "unk_token"),
                         .pad_token = token(config, "pad_token"),
                         .model_max_length = std::nullopt,
                         .clean_up_tokenization_spaces = false,
                         .padding_side = side(config, "padding_side"),
                         .truncation_side = side(config, "truncation_side")};
  if (const auto it = config.find("model_max_length"); it != config.end() && it->is_number()) {
    const auto length = it->get<double>();
    if (length > 0 && length < kNoMaxLength) {
      result.model_max_length = static_cast<int64_t>(length);
    }
  }
  if (const auto it = config.find("clean_up_tokenization_spaces");
      it != config.end() && it->is_boolean()) {
    result.clean_up_tokenization_spaces = it->get<bool>();
  }
  return result;
}

}  // namespace m2
