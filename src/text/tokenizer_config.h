// What tokenizer_config.json adds to tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "m2/tokenizer.h"

namespace m2 {

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> unk_token;
  std::optional<std::string> pad_token;
  std::optional<int64_t> model_max_length;
  bool clean_up_tokenization_spaces = false;
  Side padding_side = Side::kRight;
  Side truncation_side = Side::kRight;
};

// Throws kCorruptFile when the text is no JSON object or a known key has another type.
[[nodiscard]] TokenizerConfig parse_tokenizer_config(std::string_view json);

}  // namespace m2
