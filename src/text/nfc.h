// Unicode normalisation form C, with the reference's tables and its way of aligning the result
// with the source.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

// Bytes [begin, end) of the source text.
struct SourceRange {
  uint32_t begin;
  uint32_t end;
};

// All functions require well-formed UTF-8 of less than 4 GiB.

// True if the text holds nothing that NFC could change; false is no proof of the opposite.
[[nodiscard]] bool is_certainly_nfc(std::string_view text);

[[nodiscard]] std::string to_nfc(std::string_view text);

// As above; `alignment` gets for each byte of the result the source code points it stands for.
// Alignment goes by position as in the tokenizers library: a character composed of k source code
// points takes the first of the next k and skips the others, a character that decomposes gives all
// its parts its own range, and reordered marks do not take their ranges with them.
[[nodiscard]] std::string to_nfc(std::string_view text, std::vector<SourceRange>& alignment);

}  // namespace m2
