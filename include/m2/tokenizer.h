// Text to token ids and back, as the tokenizer.json of a model says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace m2 {

using TokenId = int32_t;

/// Marks "none" in Encoding::word_ids and Encoding::sequence_ids.
inline constexpr int32_t kNoIndex = -1;

/// A half-open range, in bytes or in code points of the text that was encoded.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

/// One text to encode.
///
/// Bytes that are not UTF-8 are read as U+FFFD, one for each maximal ill-formed part (what Python's
/// errors="replace" does). In `untrusted` spans of the text, given in bytes, added tokens such as
/// the turn markers are not recognised, nor where they only touch such a span: the characters are
/// encoded as ordinary text. The views must outlive the call only.
struct TextInput {
  TextInput(std::string_view text_in) : text(text_in) {}    // NOLINT(google-explicit-constructor)
  TextInput(const std::string& text_in) : text(text_in) {}  // NOLINT(google-explicit-constructor)
  TextInput(const char* text_in) : text(text_in) {}         // NOLINT(google-explicit-constructor)
  TextInput(std::string_view text_in, std::span<const TextRange> untrusted_in)
      : text(text_in), untrusted(untrusted_in) {}

  std::string_view text;
  std::span<const TextRange> untrusted;
};

enum class Side { kRight, kLeft };
enum class OffsetUnit { kCodePoints, kBytes };
enum class TruncationStrategy { kLongestFirst, kOnlyFirst, kOnlySecond };

struct Truncation {
  size_t max_length = 512;
  /// Tokens that a window in Encoding::overflowing shares with the one before; < max_length.
  size_t stride = 0;
  TruncationStrategy strategy = TruncationStrategy::kLongestFirst;
  Side side = Side::kRight;  ///< the side that is cut
};

struct Padding {
  /// Rows are padded to this length, or without it to the longest row of the batch.
  std::optional<size_t> length;
  size_t multiple_of = 0;  ///< rounds the length up; 0: any length
  Side side = Side::kRight;
  TokenId id = 0;
  int32_t type_id = 0;
  std::string token = "[PAD]";
};

struct EncodeOptions {
  /// True: added tokens with special=true are encoded as ordinary text everywhere.
  bool encode_special_tokens = false;
  OffsetUnit offset_unit = OffsetUnit::kCodePoints;
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
};

/// The tokens of one input. All vectors but `overflowing` have the same length.
struct Encoding {
  std::vector<TokenId> ids;
  std::vector<std::string> tokens;    ///< as the vocabulary writes them
  std::vector<TextRange> offsets;     ///< in the text as given, in EncodeOptions::offset_unit
  std::vector<int32_t> type_ids;      ///< 0, or 1 for the second text of a pair
  std::vector<int32_t> word_ids;      ///< index of the pre-token (or word), kNoIndex for padding
  std::vector<int32_t> sequence_ids;  ///< 0, or 1 for the second text; kNoIndex for padding
  std::vector<uint8_t> special_tokens_mask;  ///< 1 for padding; 0 for special tokens of the text
  std::vector<uint8_t> attention_mask;       ///< 0 for padding
  std::vector<Encoding> overflowing;         ///< what truncation cut off, as further windows

  [[nodiscard]] size_t size() const { return ids.size(); }
};

/// Cuts `first` (and `second`, unless null) to Truncation::max_length tokens in total.
/// Throws kInvalidArgument when the strategy cannot be followed or stride >= max_length.
void truncate(Encoding& first, Encoding* second, const Truncation& truncation);

/// Joins the encodings of a pair; the windows of both sides are combined. Type and sequence ids of
/// `second` stay as they are.
[[nodiscard]] Encoding merge_pair(Encoding first, const Encoding& second);

/// Pads every row, and every overflowing window of it, to one length. Longer rows stay longer.
void pad(std::span<Encoding> batch, const Padding& padding);

/// A token that is matched in the text before anything else happens to it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;      ///< dropped by decode with skip_special_tokens
  bool normalized = false;   ///< matched after normalisation instead of before
  bool single_word = false;  ///< not matched beside a word character
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
};

struct DecodeOptions {
  bool skip_special_tokens = false;
  /// Removes spaces before punctuation and contractions; without a value, as the model's
  /// tokenizer_config.json says (default: no).
  std::optional<bool> clean_up_tokenization_spaces;
};

/// A byte-level BPE tokenizer. Copies share one immutable state, and every member function may be
/// called from several threads at once.
class Tokenizer {
 public:
  /// Reads a tokenizer.json. Its truncation and padding sections are not applied: pass these in
  /// EncodeOptions. Throws kNotFound, kCorruptFile (not a consistent tokenizer), kUnsupported
  /// (a component that is not implemented; the message names its type).
  [[nodiscard]] static Tokenizer from_file(const std::filesystem::path& path);
  [[nodiscard]] static Tokenizer from_json(std::string_view json);

  /// Reads tokenizer.json and, if it is there, tokenizer_config.json of a model directory.
  /// The latter gives the bos/eos/unk/pad tokens, model_max_length and the clean-up default;
  /// its tokenizer_class is ignored, for tokenizer.json says everything. Where there is no
  /// tokenizer.json, reads the GGUF file that `path` is or has. Throws kNotFound when neither has
  /// a tokenizer.
  [[nodiscard]] static Tokenizer from_pretrained(const std::filesystem::path& path);

  /// The ids alone, several times faster than encode().
  [[nodiscard]] std::vector<TokenId> encode_ids(const TextInput& input,
                                                bool encode_special_tokens = false) const;

  [[nodiscard]] Encoding encode(const TextInput& input, const EncodeOptions& options = {}) const;
  [[nodiscard]] Encoding encode_pair(const TextInput& first, const TextInput& second,
                                     const EncodeOptions& options = {}) const;

  /// Encodes a text that is split into words: each on its own, with its index as word id and with
  /// offsets that start again at 0.
  [[nodiscard]] Encoding encode_words(std::span<const std::string_view> words,
                                      const EncodeOptions& options = {}) const;

  [[nodiscard]] std::vector<Encoding> encode_batch(std::span<const TextInput> inputs,
                                                   const EncodeOptions& options = {}) const;
  [[nodiscard]] std::vector<Encoding> encode_batch(
      std::span<const std::pair<TextInput, TextInput>> inputs,
      const EncodeOptions& options = {}) const;

  /// The text of `ids`; ids without a token are dropped, ill-formed bytes become U+FFFD.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids,
                                   const DecodeOptions& options = {}) const;
  [[nodiscard]] std::vector<std::string> batch_decode(std::span<const std::vector<TokenId>> batch,
                                                      const DecodeOptions& options = {}) const;

  /// The exact bytes that a token adds to decoded text; empty for ids without a token. The view
  /// lives as long as any copy of this tokenizer.
  [[nodiscard]] std::string_view token_bytes(TokenId id) const;

  /// The token as the vocabulary writes it (byte alphabet), or nothing.
  [[nodiscard]] std::optional<std::string> id_to_token(TokenId id) const;
  [[nodiscard]] std::optional<TokenId> token_to_id(std::string_view token) const;
  [[nodiscard]] bool is_special(TokenId id) const;

  /// Number of tokens, with or without the added ones.
  [[nodiscard]] size_t vocab_size(bool with_added = true) const;
  /// One more than the largest id that has a token. Model rows beyond it must not be sampled.
  [[nodiscard]] size_t id_limit() const;
  [[nodiscard]] std::span<const AddedToken> added_tokens() const;  ///< ascending ids

  /// Of tokenizer_config.json; nothing when the file or the entry is missing.
  [[nodiscard]] std::optional<TokenId> bos_id() const;
  [[nodiscard]] std::optional<TokenId> eos_id() const;
  [[nodiscard]] std::optional<TokenId> unk_id() const;
  [[nodiscard]] std::optional<TokenId> pad_id() const;
  [[nodiscard]] std::optional<int64_t> model_max_length() const;
  [[nodiscard]] bool clean_up_tokenization_spaces() const;
  [[nodiscard]] Side padding_side() const;  ///< right unless the file says left
  [[nodiscard]] Side truncation_side() const;

 private:
  class Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// Turns a stream of token ids into text, holding back at most the three bytes of a code point that
/// is not complete. All chunks together equal Tokenizer::decode of all ids (without clean-up).
class Detokenizer {
 public:
  explicit Detokenizer(Tokenizer tokenizer, bool skip_special_tokens = false);

  /// Adds a token; returns the text that is certain now, perhaps none.
  [[nodiscard]] std::string push(TokenId id);
  /// Ends the text: what is held comes out as U+FFFD. The object can then be used anew.
  [[nodiscard]] std::string flush();
  [[nodiscard]] size_t held_bytes() const { return held_.size(); }

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::string held_;
};

}  // namespace m2
