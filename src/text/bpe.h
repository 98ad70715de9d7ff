// Byte-pair encoding: one piece of text -> token ids.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/vocabulary.h"

namespace m2 {

struct BpeOptions {
  // Pieces are bytes spelt in the byte alphabet; otherwise the symbols are code points.
  bool byte_level = true;
  bool ignore_merges = false;  // a piece that is a token is taken as it is
  bool byte_fallback = false;  // unknown symbols become <0x00>..<0xFF> tokens if these exist
  bool fuse_unk = false;       // neighbouring unknown symbols become one unk_token
  std::optional<std::string> unk_token;   // without it, unknown symbols are dropped
  std::string continuing_subword_prefix;  // on every symbol of a piece but the first
  std::string end_of_word_suffix;         // on the last symbol of a piece
};

// Immutable after construction; safe to use from several threads, each with its own encoder.
class Bpe {
 public:
  using MergeText = std::pair<std::string_view, std::string_view>;

  // `merges` in order of rank, spelt as in the vocabulary. Throws kCorruptFile when a part or the
  // result of a merge, or the unk_token, is not in the vocabulary.
  Bpe(Vocabulary vocabulary, std::span<const MergeText> merges, BpeOptions options);

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  /// The pairs that are merged, in order of rank.
  [[nodiscard]] std::vector<std::pair<TokenId, TokenId>> merges() const;

 private:
  friend class BpeEncoder;

  static constexpr uint32_t kNoRank = UINT32_MAX;

  [[nodiscard]] TokenId find_merged(std::string_view left, std::string_view right, TokenId left_id,
                                    TokenId right_id) const;
  void insert_merge(TokenId left, TokenId right, uint32_t rank);
  [[nodiscard]] size_t merge_bucket(uint64_t pair) const {
    return static_cast<size_t>((pair * 0x9E3779B97F4A7C15U) >> merge_shift_);
  }
  [[nodiscard]] uint32_t rank(TokenId left, TokenId right) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  TokenId unk_id_ = kNoToken;
  std::array<TokenId, 256> byte_ids_{};  // the token of each single byte
  bool is_simple_ = false;               // byte level, every byte has a token, no prefix or suffix

  // Open addressing; a bucket is left id << 43 | right id << 22 | rank.
  std::vector<uint64_t> merge_buckets_;
  int merge_shift_ = 0;
  std::vector<TokenId> merged_ids_;  // by rank

  // By id: whether merging the bytes of the token gives the token again (a whole piece can then be
  // looked up). Found out when first asked; every thread would write the same value.
  enum class Reachable : uint8_t { kUnknown, kYes, kNo };
  std::unique_ptr<std::atomic<Reachable>[]> reachable_;
};

// Encodes pieces with one Bpe, keeping its working memory between them. One thread at a time.
class BpeEncoder {
 public:
  explicit BpeEncoder(const Bpe& bpe) : bpe_(bpe) {}

  // Appends the ids of `piece`, and to `lengths`, if not null, the bytes of the piece that each
  // covers. Time is O(n log n) in the length of the piece.
  void encode(std::string_view piece, std::vector<TokenId>& ids, std::vector<uint32_t>* lengths);

 private:
  struct Symbol {
    TokenId id;
    uint32_t length;  // bytes of the piece
  };

  [[nodiscard]] TokenId find_whole(std::string_view piece);
  void add_bytes(std::string_view piece);
  void add_code_points(std::string_view piece);
  void add_byte_symbols(std::string_view piece);
  void add_symbol(const std::string& text, uint32_t length, std::optional<Symbol>& pending_unk);
  [[nodiscard]] bool add_fallback(const std::string& text);
  void merge_symbols();
  void merge_short();
  void merge_long();

  const Bpe& bpe_;
  std::vector<Symbol> symbols_;
  std::vector<uint32_t> ranks_;   // by position: rank of the pair that starts there
  std::vector<uint32_t> before_;  // by position: neighbours that are still there
  std::vector<uint32_t> after_;
  std::vector<uint64_t> heap_;  // rank << 32 | position, smallest first
};

}  // namespace m2
