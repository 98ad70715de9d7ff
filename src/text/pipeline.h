// From text to the pieces that BPE encodes: added tokens, normalisation, pre-tokenization.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"
#include "text/added_tokens.h"
#include "text/nfc.h"
#include "text/source_text.h"
#include "text/tokenizer_json.h"

namespace m2 {

// The text between two added tokens, after normalisation. Valid during PieceSink calls only.
class Gap {
 public:
  // `source` is where it was in the source text. `alignment` is empty when normalisation changed
  // nothing (or was not to be aligned).
  Gap(std::string_view text, TextRange source, std::span<const SourceRange> alignment)
      : text_(text), source_(source), alignment_(alignment) {}

  [[nodiscard]] std::string_view text() const { return text_; }
  [[nodiscard]] size_t source_end() const { return source_.end; }

  // The code points of the source, in bytes, that text()[first] to text()[last] stand for.
  [[nodiscard]] TextRange source_range(size_t first, size_t last) const;

 private:
  std::string_view text_;
  TextRange source_;
  std::span<const SourceRange> alignment_;
};

// A piece. `text` is gap.text() from `begin` on, after a space that is not in the gap if
// `has_prefix_space`.
struct Piece {
  std::string_view text;
  size_t begin;
  bool has_prefix_space;
};

class PieceSink {
 public:
  virtual ~PieceSink() = default;
  // Whether Gap::source_range will be asked.
  [[nodiscard]] virtual bool needs_alignment() const = 0;
  // An added token; `text` is what it matched, with the white space that it takes.
  virtual void add_token(TokenId id, std::string_view text, TextRange source) = 0;
  virtual void add_piece(const Gap& gap, const Piece& piece) = 0;
};

class Pipeline {
 public:
  explicit Pipeline(const TokenizerSpec& spec);

  // Sends the added tokens and pieces of the text to `sink`, in order.
  void run(const SourceText& source, bool encode_special_tokens, PieceSink& sink) const;

 private:
  void run_gap(const SourceText& source, TextRange range, bool encode_special_tokens,
               PieceSink& sink) const;
  void split_gap(const Gap& gap, TextRange range, PieceSink& sink) const;
  void split_by_patterns(const Gap& gap, TextRange range, size_t next_pattern,
                         PieceSink& sink) const;
  void split_by_byte_level(const Gap& gap, TextRange range, PieceSink& sink) const;

  bool nfc_;
  PreTokenizerSpec pre_tokenizer_;
  AddedTokenMatcher raw_matcher_;         // tokens found before normalisation
  AddedTokenMatcher normalized_matcher_;  // tokens found after it
};

}  // namespace m2
