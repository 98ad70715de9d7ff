// The shared state behind Tokenizer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"
#include "text/pipeline.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace m2 {

class Tokenizer::Impl {
 public:
  Impl(TokenizerSpec spec, const TokenizerConfig& config);

  [[nodiscard]] std::vector<TokenId> encode_ids(const TextInput& input,
                                                bool encode_special_tokens) const;

  // One text without truncation and padding; `sequence` is 0 or 1.
  [[nodiscard]] Encoding encode(const TextInput& input, const EncodeOptions& options,
                                int32_t sequence) const;
  [[nodiscard]] Encoding encode_words(std::span<const std::string_view> words,
                                      const EncodeOptions& options) const;

  // Truncates, joins and post-processes.
  [[nodiscard]] Encoding finish(Encoding first, Encoding* second,
                                const EncodeOptions& options) const;

  [[nodiscard]] std::string decode(std::span<const TokenId> ids,
                                   const DecodeOptions& options) const;

  [[nodiscard]] const Vocabulary& vocabulary() const { return spec_.bpe.vocabulary(); }
  [[nodiscard]] const TokenizerSpec& spec() const { return spec_; }
  [[nodiscard]] TokenId find(std::string_view token) const;
  [[nodiscard]] bool is_special(TokenId id) const;

  // Of tokenizer_config.json.
  std::optional<TokenId> bos_id, eos_id, unk_id, pad_id;
  std::optional<int64_t> model_max_length;
  bool clean_up_tokenization_spaces = false;
  Side padding_side = Side::kRight;
  Side truncation_side = Side::kRight;

 private:
  void trim_offsets(Encoding& encoding) const;

  TokenizerSpec spec_;
  Pipeline pipeline_;
  std::vector<bool> is_special_;  // by id
};

}  // namespace m2
