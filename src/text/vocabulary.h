// The tokens of a model: id -> bytes, and bytes or spelling -> id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"

namespace m2 {

inline constexpr TokenId kNoToken = -1;

// Ids and merge ranks are packed into 64 bits (bpe.cc), which bounds them.
inline constexpr TokenId kMaxTokenId = (TokenId{1} << 21) - 1;

// Keeps the bytes of each token only: a token whose characters are all in the byte alphabet is
// stored as the bytes it spells and spelt again on demand; others ("literal") as they are.
class Vocabulary {
 public:
  // Makes room; both numbers are hints.
  void reserve(size_t num_tokens, size_t num_bytes);

  // Adds a token of the model. Throws kCorruptFile when the id or the token is already there or the
  // id is out of range.
  void add(std::string_view token, TokenId id);

  // Adds a token that find() and find_bytes() do not see.
  void add_hidden(std::string_view token, TokenId id);

  [[nodiscard]] TokenId find(std::string_view token) const;        // by spelling; kNoToken if none
  [[nodiscard]] TokenId find_bytes(std::string_view bytes) const;  // among tokens that spell bytes

  [[nodiscard]] bool contains(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < slots_.size() && slots_[index(id)].is_used;
  }
  // What the token adds to decoded text; empty if there is no such token.
  [[nodiscard]] std::string_view bytes(TokenId id) const {
    if (!contains(id)) return {};
    return bytes_of(slots_[index(id)]);
  }
  // True for a token that is stored as written because it does not spell bytes.
  [[nodiscard]] bool is_literal(TokenId id) const {
    return contains(id) && slots_[index(id)].is_literal != 0;
  }
  // As the vocabulary file writes it; requires contains(id).
  [[nodiscard]] std::string spelling(TokenId id) const;

  [[nodiscard]] size_t size() const { return num_tokens_; }  // without hidden tokens
  [[nodiscard]] size_t num_hidden() const { return num_hidden_; }
  [[nodiscard]] size_t id_limit() const { return slots_.size(); }  // largest id plus one
  [[nodiscard]] size_t max_token_bytes() const { return max_token_bytes_; }

 private:
  struct Slot {
    uint32_t begin = 0;
    uint32_t length : 30 = 0;
    uint32_t is_literal : 1 = 0;
    uint32_t is_used : 1 = 0;
  };
  // What a token is compared by. Up to eight bytes are in the word itself, so that finding one of
  // the common short tokens reads a single cache line.
  struct Key {
    uint64_t word;    // the bytes, or a hash of them
    uint32_t length;  // times two, plus one for a literal token
  };
  struct Bucket {
    uint64_t word = 0;
    uint32_t length = 0;
    TokenId id = kNoToken;
    [[nodiscard]] bool has(const Key& key) const {
      return word == key.word && length == key.length;
    }
  };

  static size_t index(TokenId id) { return static_cast<size_t>(id); }
  [[nodiscard]] std::string_view bytes_of(const Slot& slot) const {
    return std::string_view(blob_).substr(slot.begin, slot.length);
  }
  void store(std::string_view token, TokenId id);
  [[nodiscard]] static Key make_key(std::string_view bytes, bool is_literal);
  [[nodiscard]] size_t first_bucket(const Key& key) const;
  void insert_bucket(TokenId id);
  void grow_table(size_t num_buckets);
  [[nodiscard]] TokenId lookup(std::string_view bytes, bool is_literal) const;

  std::string blob_;
  std::vector<Slot> slots_;      // by id
  std::vector<Bucket> buckets_;  // open addressing, linear probing, a power of two long
  size_t num_tokens_ = 0;
  size_t num_hidden_ = 0;
  size_t max_token_bytes_ = 0;
};

}  // namespace m2
