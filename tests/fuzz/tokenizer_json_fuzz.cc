// Loading arbitrary bytes as tokenizer.json and tokenizer_config.json; what loads must work.
#include <cstdint>
#include <string_view>
#include <vector>

#include "m2/error.h"
#include "m2/tokenizer.h"
#include "text/tokenizer_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    static_cast<void>(m2::parse_tokenizer_config(text));
  } catch (const m2::Error&) {
  }
  try {
    const m2::Tokenizer tokenizer = m2::Tokenizer::from_json(text);
    const std::string_view sample = "He llo, h\u00e9e\u0301 \xFF ab  <a>\n123 <0x41>";
    const m2::Encoding encoding = tokenizer.encode(sample);
    if (encoding.ids != tokenizer.encode_ids(sample)) __builtin_trap();
    for (const m2::TextRange& range : encoding.offsets) {
      if (range.begin > range.end || range.end > sample.size()) __builtin_trap();
    }
    for (const m2::TokenId id : encoding.ids) {
      if (!tokenizer.id_to_token(id)) __builtin_trap();
    }
    static_cast<void>(tokenizer.decode(encoding.ids));
  } catch (const m2::Error&) {
  }
  return 0;
}
