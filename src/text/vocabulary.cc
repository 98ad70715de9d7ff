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

// Multiply-and-fold over words of eight bytes; the last one overlaps the one before it.
uint32_t hash_bytes(std::string_view bytes, bool is_literal) {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
  uint64_t hash = kFactor ^ (bytes.size() << 1) ^ (is_literal ? 1 : 0);
  const char* data = bytes.data();
  size_t left = bytes.size();
  while (left > 8) {
    hash = mix(hash ^ load(data, 8), kFactor);
    data += 8;
    left -= 8;
  }
  uint64_t tail = 0;
  if (bytes.size() >= 8) {
    tail = load(bytes.data() + bytes.size() - 8, 8);
  } else if (left >= 4) {
    tail = load(data, 4) | load(data + left - 4, 4) << 32;
  } else if (left > 0) {
    tail = load(data, 1) | load(data + left / 2, 1) << 8 | load(data + left - 1, 1) << 16;
  }
  hash = mix(hash ^ tail, kFactor);
  return static_cast<uint32_t>(hash ^ (hash >> 32));
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

void Vocabulary::insert_bucket(TokenId id) {
  const Slot& slot = slots_[index(id)];
  const uint32_t hash = hash_bytes(bytes_of(slot), slot.is_literal != 0);
  const size_t mask = buckets_.size() - 1;
  size_t at = hash & mask;
  while (buckets_[at].id != kNoToken) at = (at + 1) & mask;
  buckets_[at] = {.hash = hash, .id = id};
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
  const uint32_t hash = hash_bytes(bytes, is_literal);
  const size_t mask = buckets_.size() - 1;
  for (size_t at = hash & mask; buckets_[at].id != kNoToken; at = (at + 1) & mask) {
    if (buckets_[at].hash != hash) continue;
    const Slot& slot = slots_[index(buckets_[at].id)];
    if ((slot.is_literal != 0) == is_literal && bytes_of(slot) == bytes) return buckets_[at].id;
  }
  return kNoToken;
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
