// Reads a tokenizer.json into plain data.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"
#include "text/bpe.h"
#include "text/split.h"
#include "text/vocabulary.h"

namespace m2 {

struct PreTokenizerSpec {
  std::vector<SplitPattern> splits;  // applied in this order
  bool byte_level = false;           // the last step; without it pieces are code points
  bool add_prefix_space = false;     // of ByteLevel
  bool byte_level_regex = false;     // of ByteLevel: split by the GPT-2 pattern
};

// The ByteLevel post-processor: takes white space out of the offsets of tokens.
struct OffsetTrimming {
  bool add_prefix_space = false;
};

struct TokenizerSpec {
  bool nfc = false;
  PreTokenizerSpec pre_tokenizer;
  std::optional<OffsetTrimming> offset_trimming;
  std::vector<AddedToken> added_tokens;  // ascending ids, no two alike
  Bpe bpe;                               // with the added tokens as hidden ones
};

// Throws kCorruptFile or kUnsupported, with the place in the message.
[[nodiscard]] TokenizerSpec parse_tokenizer_json(std::string_view json);

}  // namespace m2
