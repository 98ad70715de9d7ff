// The raw content of a tokenizer.json: the two long lists as flat arrays, the rest as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "m2/tokenizer.h"

namespace m2 {

struct RawTokenizer {
  // A string in `blob`.
  struct Text {
    uint32_t begin;
    uint32_t length;
  };
  struct Token {
    Text text;
    int64_t id;
  };
  struct Merge {
    Text left;
    Text right;
  };

  [[nodiscard]] std::string_view view(Text text) const {
    return std::string_view(blob).substr(text.begin, text.length);
  }

  std::string blob;
  std::vector<Token> vocab;   // model.vocab, in the order of the file
  std::vector<Merge> merges;  // model.merges, in either form, by rank
  bool has_vocab = false;
  bool has_merges = false;
  nlohmann::json rest;  // the document without these two
};

// Throws kCorruptFile when the text is not JSON or the two lists have another shape.
[[nodiscard]] RawTokenizer read_raw_tokenizer(std::string_view json);

}  // namespace m2
