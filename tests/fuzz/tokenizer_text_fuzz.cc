// Arbitrary bytes as text and as token ids for a small fixed tokenizer.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "m2/tokenizer.h"
#include "text/nfc.h"
#include "text/small_tokenizer.h"
#include "text/stop_strings.h"

namespace {

using m2::TokenId;

void check(bool condition) {
  if (!condition) __builtin_trap();
}

void check_encode(const m2::Tokenizer& tokenizer, std::string_view text) {
  const m2::Encoding encoding = tokenizer.encode(text, {.offset_unit = m2::OffsetUnit::kBytes});
  check(encoding.ids == tokenizer.encode_ids(text));
  for (const m2::TextRange& range : encoding.offsets) {
    check(range.begin < range.end && range.end <= text.size());
  }
  // The text around an added token is normalised without it, so only then do both sides agree.
  const std::string clean = m2::utf8::replace_invalid(text);
  const std::string decoded = tokenizer.decode(encoding.ids);
  check(m2::to_nfc(decoded) == m2::to_nfc(clean));
  const auto is_added = [](TokenId id) { return id >= 300; };
  check(std::ranges::any_of(encoding.ids, is_added) || decoded == m2::to_nfc(clean));

  const std::vector<m2::TextRange> all = {{0, text.size()}};
  check(std::ranges::none_of(tokenizer.encode_ids({text, all}), is_added));
}

void check_decode(const m2::Tokenizer& tokenizer, std::string_view bytes) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool wide = i % 3 == 0;
    ids.push_back(static_cast<uint8_t>(bytes[i]) + (wide ? 80 : 0));
  }
  m2::Detokenizer detokenizer(tokenizer);
  std::string streamed;
  for (const TokenId id : ids) {
    const std::string chunk = detokenizer.push(id);
    check(m2::utf8::is_valid(chunk) && detokenizer.held_bytes() <= 3);
    streamed += chunk;
  }
  streamed += detokenizer.flush();
  check(streamed == tokenizer.decode(ids));
}

// The text is cut at the same places as it would be if it came at once.
void check_stop_strings(std::string_view text) {
  if (text.size() < 4) return;
  const std::vector<std::string> stops = {std::string(text.substr(0, 2)),
                                          std::string(text.substr(text.size() / 2, 3))};
  const std::string_view input = text.substr(2);
  m2::StopStringMatcher whole(stops);
  std::string expected = whole.push(input);
  expected += whole.finish();
  m2::StopStringMatcher by_byte(stops);
  std::string streamed;
  for (const char c : input) streamed += by_byte.push({&c, 1});
  streamed += by_byte.finish();
  check(streamed == expected && whole.matched() == by_byte.matched());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const m2::Tokenizer tokenizer =
      m2::Tokenizer::from_json(m2::test::small_tokenizer_json().dump());
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_encode(tokenizer, text);
  check_decode(tokenizer, text);
  check_stop_strings(text);
  return 0;
}
