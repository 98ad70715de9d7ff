#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"

namespace m2 {
namespace {

constexpr int kRankBits = 22;
constexpr int kIdBits = 21;
constexpr uint64_t kEmptyBucket = ~uint64_t{0};
constexpr size_t kMaxMerges = (size_t{1} << kRankBits) - 2;
static_assert(kMaxTokenId < TokenId{1} << kIdBits && 2 * kIdBits + kRankBits == 64);

// Up to this many symbols a scan for the lowest rank beats a heap.
constexpr size_t kShortPiece = 80;

uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<uint64_t>(left) << kIdBits | static_cast<uint64_t>(right);
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, std::span<const MergeText> merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  M2_REQUIRE(ErrorCode::kCorruptFile, merges.size() <= kMaxMerges, "merges: ", merges.size(),
             " are more than ", kMaxMerges);
  const size_t num_buckets = std::bit_ceil(merges.size() * 2 + 16);
  merge_buckets_.assign(num_buckets, kEmptyBucket);
  merge_shift_ = 64 - std::countr_zero(num_buckets);
  merged_ids_.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    const TokenId left_id = vocabulary_.find(left);
    const TokenId right_id = vocabulary_.find(right);
    M2_REQUIRE(ErrorCode::kCorruptFile, left_id != kNoToken && right_id != kNoToken, "merges: \"",
               left_id == kNoToken ? left : right, "\" of merge ", merged_ids_.size(),
               " is not in the vocabulary");
    const TokenId merged = find_merged(left, right, left_id, right_id);
    M2_REQUIRE(ErrorCode::kCorruptFile, merged != kNoToken, "merges: the result of merge ",
               merged_ids_.size(), ", \"", left, "\" + \"", right, "\", is not in the vocabulary");
    insert_merge(left_id, right_id, static_cast<uint32_t>(merged_ids_.size()));
    merged_ids_.push_back(merged);
  }

  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const char character = static_cast<char>(byte);
    byte_ids_[byte] = vocabulary_.find_bytes({&character, 1});
  }
  is_simple_ = options_.byte_level && options_.continuing_subword_prefix.empty() &&
               options_.end_of_word_suffix.empty() &&
               std::ranges::find(byte_ids_, kNoToken) == byte_ids_.end();
  if (options_.unk_token) {
    unk_id_ = vocabulary_.find(*options_.unk_token);
    M2_REQUIRE(ErrorCode::kCorruptFile, unk_id_ != kNoToken, "model: unk_token \"",
               *options_.unk_token, "\" is not in the vocabulary");
  }
  reachable_ = std::make_unique<std::atomic<Reachable>[]>(vocabulary_.id_limit());
}

std::vector<std::pair<TokenId, TokenId>> Bpe::merges() const {
  std::vector<std::pair<uint64_t, uint64_t>> by_rank;
  for (const uint64_t bucket : merge_buckets_) {
    if (bucket == kEmptyBucket) continue;
    by_rank.emplace_back(bucket & ((uint64_t{1} << kRankBits) - 1), bucket >> kRankBits);
  }
  std::ranges::sort(by_rank);
  std::vector<std::pair<TokenId, TokenId>> merges;
  merges.reserve(by_rank.size());
  for (const auto& [rank, pair] : by_rank) {
    merges.emplace_back(static_cast<TokenId>(pair >> kIdBits),
                        static_cast<TokenId>(pair & ((uint64_t{1} << kIdBits) - 1)));
  }
  return merges;
}

TokenId Bpe::find_merged(std::string_view left, std::string_view right, TokenId left_id,
                         TokenId right_id) const {
  const std::string& prefix = options_.continuing_subword_prefix;
  if (prefix.empty() && !vocabulary_.is_literal(left_id) && !vocabulary_.is_literal(right_id)) {
    std::string bytes(vocabulary_.bytes(left_id));
    return vocabulary_.find_bytes(bytes.append(vocabulary_.bytes(right_id)));
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, right.size() >= prefix.size(), "merges: \"", right,
             "\" is shorter than the continuing_subword_prefix");
  return vocabulary_.find(std::string(left).append(right.substr(prefix.size())));
}

void Bpe::insert_merge(TokenId left, TokenId right, uint32_t rank) {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merge_buckets_.size() - 1;
  size_t at = merge_bucket(key);
  // A pair that is listed twice keeps its last rank, as in the tokenizers library.
  while (merge_buckets_[at] != kEmptyBucket && merge_buckets_[at] >> kRankBits != key) {
    at = (at + 1) & mask;
  }
  merge_buckets_[at] = key << kRankBits | rank;
}

uint32_t Bpe::rank(TokenId left, TokenId right) const {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merge_buckets_.size() - 1;
  for (size_t at = merge_bucket(key);; at = (at + 1) & mask) {
    const uint64_t bucket = merge_buckets_[at];
    if (bucket >> kRankBits == key && bucket != kEmptyBucket) {
      return static_cast<uint32_t>(bucket & ((1U << kRankBits) - 1));
    }
    if (bucket == kEmptyBucket) return kNoRank;
  }
}

void BpeEncoder::encode(std::string_view piece, std::vector<TokenId>& ids,
                        std::vector<uint32_t>* lengths) {
  if (piece.empty()) return;
  if (const TokenId id = find_whole(piece); id != kNoToken) {
    ids.push_back(id);
    if (lengths != nullptr) lengths->push_back(static_cast<uint32_t>(piece.size()));
    return;
  }
  symbols_.clear();
  if (bpe_.is_simple_) {
    add_bytes(piece);
  } else if (bpe_.options_.byte_level) {
    add_byte_symbols(piece);
  } else {
    add_code_points(piece);
  }
  merge_symbols();
  for (const Symbol& symbol : symbols_) ids.push_back(symbol.id);
  if (lengths == nullptr) return;
  for (const Symbol& symbol : symbols_) lengths->push_back(symbol.length);
}

// The token that is the whole piece, where looking it up gives the same as merging.
TokenId BpeEncoder::find_whole(std::string_view piece) {
  const Vocabulary& vocabulary = bpe_.vocabulary_;
  if (piece.size() > vocabulary.max_token_bytes()) return kNoToken;
  if (bpe_.options_.ignore_merges) {
    return bpe_.options_.byte_level ? vocabulary.find_bytes(piece) : vocabulary.find(piece);
  }
  if (!bpe_.is_simple_) return kNoToken;
  const TokenId id = vocabulary.find_bytes(piece);
  if (id == kNoToken) return kNoToken;
  std::atomic<Bpe::Reachable>& reachable = bpe_.reachable_[static_cast<size_t>(id)];
  Bpe::Reachable state = reachable.load(std::memory_order_relaxed);
  if (state == Bpe::Reachable::kUnknown) {
    symbols_.clear();
    add_bytes(piece);
    merge_symbols();
    const bool is_same = symbols_.size() == 1 && symbols_[0].id == id;
    state = is_same ? Bpe::Reachable::kYes : Bpe::Reachable::kNo;
    reachable.store(state, std::memory_order_relaxed);
  }
  return state == Bpe::Reachable::kYes ? id : kNoToken;
}

void BpeEncoder::add_bytes(std::string_view piece) {
  symbols_.reserve(piece.size());
  for (const char byte : piece) {
    symbols_.push_back({bpe_.byte_ids_[static_cast<uint8_t>(byte)], 1});
  }
}

void BpeEncoder::add_byte_symbols(std::string_view piece) {
  const BpeOptions& options = bpe_.options_;
  std::optional<Symbol> pending_unk;
  for (size_t i = 0; i < piece.size(); ++i) {
    std::string text = i > 0 ? options.continuing_subword_prefix : std::string();
    text += spell_bytes(piece.substr(i, 1));
    if (i + 1 == piece.size()) text += options.end_of_word_suffix;
    add_symbol(text, 1, pending_unk);
  }
  if (pending_unk) symbols_.push_back(*pending_unk);
}

void BpeEncoder::add_code_points(std::string_view piece) {
  const BpeOptions& options = bpe_.options_;
  std::optional<Symbol> pending_unk;
  for (size_t pos = 0; pos < piece.size();) {
    const auto length = static_cast<size_t>(utf8::decode(piece, pos).length);
    std::string text = pos > 0 ? options.continuing_subword_prefix : std::string();
    text += piece.substr(pos, length);
    pos += length;
    if (pos == piece.size()) text += options.end_of_word_suffix;
    add_symbol(text, static_cast<uint32_t>(length), pending_unk);
  }
  if (pending_unk) symbols_.push_back(*pending_unk);
}

// The order of the steps, also where an unknown symbol waits to be fused, is the reference's.
void BpeEncoder::add_symbol(const std::string& text, uint32_t length,
                            std::optional<Symbol>& pending_unk) {
  const TokenId id = bpe_.vocabulary_.find(text);
  if (id != kNoToken) {
    if (pending_unk) symbols_.push_back(*pending_unk);
    pending_unk.reset();
    symbols_.push_back({id, length});
    return;
  }
  if (bpe_.options_.byte_fallback && add_fallback(text)) return;
  if (bpe_.unk_id_ == kNoToken) return;
  if (pending_unk && bpe_.options_.fuse_unk) {
    pending_unk->length += length;
    return;
  }
  if (pending_unk) symbols_.push_back(*pending_unk);
  pending_unk = Symbol{bpe_.unk_id_, length};
}

bool BpeEncoder::add_fallback(const std::string& text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const size_t before = symbols_.size();
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const std::string name{'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    const TokenId id = bpe_.vocabulary_.find(name);
    if (id == kNoToken) {
      symbols_.resize(before);
      return false;
    }
    symbols_.push_back({id, 1});
  }
  return true;
}

void BpeEncoder::merge_symbols() {
  if (symbols_.size() < 2) return;
  ranks_.resize(symbols_.size());
  for (size_t i = 0; i + 1 < symbols_.size(); ++i) {
    ranks_[i] = bpe_.rank(symbols_[i].id, symbols_[i + 1].id);
  }
  ranks_.back() = Bpe::kNoRank;
  if (symbols_.size() <= kShortPiece) {
    merge_short();
  } else {
    merge_long();
  }
}

void BpeEncoder::merge_short() {
  Symbol* symbols = symbols_.data();
  uint32_t* ranks = ranks_.data();
  size_t size = symbols_.size();
  while (size > 1) {
    size_t best = 0;
    uint32_t best_rank = ranks[0];
    for (size_t i = 1; i + 1 < size; ++i) {
      if (ranks[i] < best_rank) {
        best = i;
        best_rank = ranks[i];
      }
    }
    if (best_rank == Bpe::kNoRank) break;
    symbols[best].id = bpe_.merged_ids_[best_rank];
    symbols[best].length += symbols[best + 1].length;
    std::copy(symbols + best + 2, symbols + size, symbols + best + 1);
    std::copy(ranks + best + 2, ranks + size, ranks + best + 1);
    --size;
    ranks[best] =
        best + 1 < size ? bpe_.rank(symbols[best].id, symbols[best + 1].id) : Bpe::kNoRank;
    if (best > 0) ranks[best - 1] = bpe_.rank(symbols[best - 1].id, symbols[best].id);
  }
  symbols_.resize(size);
}

void BpeEncoder::merge_long() {
  M2_REQUIRE(ErrorCode::kResourceExhausted, symbols_.size() < UINT32_MAX, "tokenizer: a piece of ",
             symbols_.size(), " symbols is too long");
  const auto size = static_cast<uint32_t>(symbols_.size());
  before_.resize(size);
  after_.resize(size);
  heap_.clear();
  for (uint32_t i = 0; i < size; ++i) {
    before_[i] = i - 1;  // wraps for the first, which is never read
    after_[i] = i + 1;
    if (ranks_[i] != Bpe::kNoRank) heap_.push_back(uint64_t{ranks_[i]} << 32 | i);
  }
  std::ranges::make_heap(heap_, std::greater<>());
  const auto update = [&](uint32_t at) {
    const uint32_t next = after_[at];
    ranks_[at] = next < size ? bpe_.rank(symbols_[at].id, symbols_[next].id) : Bpe::kNoRank;
    if (ranks_[at] == Bpe::kNoRank) return;
    heap_.push_back(uint64_t{ranks_[at]} << 32 | at);
    std::ranges::push_heap(heap_, std::greater<>());
  };
  while (!heap_.empty()) {
    std::ranges::pop_heap(heap_, std::greater<>());
    const auto at = static_cast<uint32_t>(heap_.back());
    const auto rank = static_cast<uint32_t>(heap_.back() >> 32);
    heap_.pop_back();
    if (ranks_[at] != rank) continue;  // the pair has changed since
    const uint32_t right = after_[at];
    symbols_[at].id = bpe_.merged_ids_[rank];
    symbols_[at].length += symbols_[right].length;
    ranks_[right] = Bpe::kNoRank;
    after_[at] = after_[right];
    if (after_[at] < size) before_[after_[at]] = at;
    update(at);
    if (at > 0) update(before_[at]);
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < size; i = after_[i]) symbols_[kept++] = symbols_[i];
  symbols_.resize(kept);
}

}  // namespace m2
