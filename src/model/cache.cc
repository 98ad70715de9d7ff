#include "m2/cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/cache_impl.h"

namespace m2 {
namespace {

// [B, Nkv, length, D] f32 of `blocks` [P, Nkv, block, D], by the table of every row.
Tensor gather(const Cache::Impl& cache, std::int64_t layer, KvPart part) {
  const MiniMaxM2Config& config = cache.config;
  const bool bound = cache.kv_cache != nullptr;
  M2_REQUIRE(ErrorCode::kInvalidArgument, bound && layer >= 0 && layer < config.num_hidden_layers,
             "cache: layer ", layer, " is outside the ", bound ? config.num_hidden_layers : 0,
             " layers held");
  const std::int64_t length = cache.is_static() ? cache.options.capacity : cache.length;
  const std::int64_t heads = config.num_key_value_heads;
  const std::int64_t dim = config.head_dim;
  const std::int64_t block_size = cache.kv_cache->block_size();
  Tensor result(DType::kF32, {cache.batch_size(), heads, length, dim});
  Tensor block(DType::kF32, {heads, block_size, dim});
  for (std::int64_t row = 0; row < cache.batch_size(); ++row) {
    const auto table = cache.blocks_of(static_cast<std::size_t>(row));
    for (std::int64_t first = 0; first < length; first += block_size) {
      const std::int32_t id = table[static_cast<std::size_t>(first / block_size)];
      cache.kv_cache->read_block(static_cast<std::size_t>(layer), id, part, block.view());
      const std::int64_t count = std::min(block_size, length - first);
      for (std::int64_t head = 0; head < heads; ++head) {
        std::copy_n(block.as<float>() + head * block_size * dim, count * dim,
                    result.as<float>() + ((row * heads + head) * length + first) * dim);
      }
    }
  }
  return result;
}

void check_rows(std::span<const std::int64_t> rows, std::int64_t batch_size) {
  for (const std::int64_t row : rows) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, row >= 0 && row < batch_size, "cache: row ", row,
               " is outside the ", batch_size, " rows held");
  }
}

}  // namespace

Cache::Cache(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Cache::~Cache() = default;

std::int64_t Cache::get_seq_length() const { return impl_->seq_length(); }
std::int64_t Cache::get_max_cache_shape() const { return impl_->options.capacity; }
std::int64_t Cache::batch_size() const { return impl_->batch_size(); }
std::int64_t Cache::num_layers() const {
  return impl_->kv_cache ? impl_->config.num_hidden_layers : 0;
}

void Cache::crop(std::int64_t length) {
  M2_REQUIRE(ErrorCode::kUnsupported, !impl_->is_static(), "cache: a static cache has no crop");
  const std::int64_t kept = length < 0 ? std::max<std::int64_t>(impl_->length + length, 0) : length;
  if (kept < impl_->length) impl_->truncate(kept);
}

void Cache::reorder_cache(std::span<const std::int64_t> rows) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_equal(rows.size(), batch_size()),
             "reorder_cache: expected ", batch_size(), " rows, got ", rows.size());
  batch_select_indices(rows);
}

void Cache::batch_repeat_interleave(std::int64_t repeats) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, repeats > 0,
             "batch_repeat_interleave: expected a positive number, got ", repeats);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < batch_size() * repeats; ++i) rows.push_back(i / repeats);
  impl_->gather_rows(rows);
}

void Cache::batch_select_indices(std::span<const std::int64_t> rows) {
  check_rows(rows, batch_size());
  impl_->gather_rows(rows);
}

void Cache::reset() { impl_->reset(); }
Tensor Cache::keys(std::int64_t layer) const { return gather(*impl_, layer, KvPart::kKeys); }
Tensor Cache::values(std::int64_t layer) const { return gather(*impl_, layer, KvPart::kValues); }

DynamicCache::DynamicCache(bool offloading)
    : Cache(std::make_unique<Impl>(CacheOptions{.offloading = offloading})) {}

StaticCache::StaticCache(std::int64_t max_cache_len, bool offloading)
    : Cache(std::make_unique<Impl>(
          CacheOptions{.capacity = max_cache_len, .offloading = offloading})) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, max_cache_len > 0,
             "StaticCache: expected max_cache_len > 0, got ", max_cache_len);
}

QuantizedCache::QuantizedCache(int nbits, std::int64_t q_group_size, std::int64_t residual_length)
    : Cache(std::make_unique<Impl>(CacheOptions{
          .bits = nbits, .group_size = q_group_size, .residual_length = residual_length})) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, nbits == 4 || nbits == 8,
             "QuantizedCache: expected nbits 4 or 8, got ", nbits);
  M2_REQUIRE(ErrorCode::kInvalidArgument, q_group_size > 0 && q_group_size % 2 == 0,
             "QuantizedCache: expected an even q_group_size > 0, got ", q_group_size);
  M2_REQUIRE(ErrorCode::kInvalidArgument, residual_length >= 0,
             "QuantizedCache: expected residual_length >= 0, got ", residual_length);
}

}  // namespace m2
