#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "text/byte_alphabet.h"

namespace m2 {
namespace {

constexpr size_t kMaxBlobBytes = size_t{1} << 30;

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t load(const char* data, size_t num_bytes) {
  uint64_t word = 0;
  std::memcpy(&word, data, num_bytes);
  return word;
}

constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
constexpr size_t kInlineBytes = 8;

// Up to eight bytes as a number; different for different bytes of the same length.
uint64_t inline_word(std::string_view bytes) {
  const char* data = bytes.data();
  const size_t size = bytes.size();
  if (size >= 4) return load(data, 4) | load(data + size - 4, 4) << 32;
  if (size == 0) return 0;
  return load(data, 1) | load(data + size / 2, 1) << 8 | load(data + size - 1, 1) << 16;
}

// Multiply-and-fold over words of eight bytes; the last one overlaps the one before it.
uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = kFactor;
  size_t pos = 0;
  for (; pos + 8 < bytes.size(); pos += 8) hash = mix(hash ^ load(bytes.data() + pos, 8), kFactor);
  return mix(hash ^ load(bytes.data() + bytes.size() - 8, 8), kFactor);
}

}  // namespace

void Vocabulary::reserve(size_t num_tokens, size_t num_bytes) {
  slots_.reserve(num_tokens);
  blob_.reserve(num_bytes);
  grow_table(std::bit_ceil(num_tokens * 2 + 16));
}

void Vocabulary::store(std::string_view token, TokenId id) {
  M2_REQUIRE(ErrorCode::kCorruptFile, id >= 0 && id <= kMaxTokenId, "vocabulary: token id ", id,
             " is not in 0..", kMaxTokenId);
  if (index(id) >= slots_.size()) slots_.resize(index(id) + 1);
  Slot& slot = slots_[index(id)];
  M2_REQUIRE(ErrorCode::kCorruptFile, !slot.is_used, "vocabulary: id ", id, " of \"", token,
             "\" already belongs to \"", spelling(id), "\"");
  std::string spelt;
  const bool is_literal = !unspell_bytes(token, spelt);
  const std::string_view bytes = is_literal ? token : std::string_view(spelt);
  M2_REQUIRE(ErrorCode::kCorruptFile, blob_.size() + bytes.size() <= kMaxBlobBytes,
             "vocabulary: more than ", kMaxBlobBytes, " bytes of tokens");
  slot = {.begin = static_cast<uint32_t>(blob_.size()),
          .length = static_cast<uint32_t>(bytes.size()) & ((1U << 30) - 1),
          .is_literal = is_literal ? 1U : 0U,
          .is_used = 1};
  blob_.append(bytes);
}

void Vocabulary::add(std::string_view token, TokenId id) {
  store(token, id);
  const Slot& slot = slots_[index(id)];
  const TokenId known = lookup(bytes_of(slot), slot.is_literal != 0);
  M2_REQUIRE(ErrorCode::kCorruptFile, known == kNoToken, "vocabulary: \"", token,
             "\" has two ids, ", known, " and ", id);
  if ((num_tokens_ + 1) * 2 > buckets_.size()) {
    grow_table(std::max<size_t>(buckets_.size() * 2, 64));
  }
  insert_bucket(id);
  ++num_tokens_;
  max_token_bytes_ = std::max(max_token_bytes_, bytes_of(slot).size());
}

void Vocabulary::add_hidden(std::string_view token, TokenId id) {
  store(token, id);
  ++num_hidden_;
}

Vocabulary::Key Vocabulary::make_key(std::string_view bytes, bool is_literal) {
  return {.word = bytes.size() <= kInlineBytes ? inline_word(bytes) : hash_bytes(bytes),
          .length = static_cast<uint32_t>(bytes.size()) << 1 | (is_literal ? 1U : 0U)};
}

size_t Vocabulary::first_bucket(const Key& key) const {
  return static_cast<size_t>(mix(key.word ^ key.length, kFactor)) & (buckets_.size() - 1);
}

void Vocabulary::insert_bucket(TokenId id) {
  const Slot& slot = slots_[index(id)];
  const Key key = make_key(bytes_of(slot), slot.is_literal != 0);
  size_t at = first_bucket(key);
  while (buckets_[at].id != kNoToken) at = (at + 1) & (buckets_.size() - 1);
  buckets_[at] = {.word = key.word, .length = key.length, .id = id};
}

void Vocabulary::grow_table(size_t num_buckets) {
  if (num_buckets <= buckets_.size()) return;
  std::vector<Bucket> old(num_buckets);
  old.swap(buckets_);
  for (const Bucket& bucket : old) {
    if (bucket.id != kNoToken) insert_bucket(bucket.id);
  }
}

TokenId Vocabulary::lookup(std::string_view bytes, bool is_literal) const {
  if (buckets_.empty()) return kNoToken;
  const Key key = make_key(bytes, is_literal);
  const bool key_is_exact = bytes.size() <= kInlineBytes;
  for (size_t at = first_bucket(key);; at = (at + 1) & (buckets_.size() - 1)) {
    const Bucket& bucket = buckets_[at];
    if (bucket.id == kNoToken) return kNoToken;
    if (!bucket.has(key)) continue;
    if (key_is_exact || bytes_of(slots_[index(bucket.id)]) == bytes) return bucket.id;
  }
}

TokenId Vocabulary::find(std::string_view token) const {
  std::string bytes;
  return unspell_bytes(token, bytes) ? lookup(bytes, false) : lookup(token, true);
}

TokenId Vocabulary::find_bytes(std::string_view bytes) const { return lookup(bytes, false); }

std::string Vocabulary::spelling(TokenId id) const {
  const Slot& slot = slots_[index(id)];
  return slot.is_literal != 0 ? std::string(bytes_of(slot)) : spell_bytes(bytes_of(slot));
}

}  // namespace m2
