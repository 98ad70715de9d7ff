#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "generation/mode.h"
#include "generation/sampler.h"

namespace m2 {
namespace {

// cumsum(mask) - 1, and 1 where the mask is 0: what generate() of the reference uses.
std::vector<std::int64_t> positions_of(std::size_t count, std::span<const std::uint8_t> mask) {
  std::vector<std::int64_t> positions(count);
  std::int64_t next = 0;
  for (std::size_t i = 0; i < count; ++i) {
    positions[i] = mask.empty() || mask[i] != 0 ? next++ : 1;
  }
  return positions;
}

EngineRequest checked(EngineRequest request) {
  const std::size_t count = request.prompt_ids.size();
  M2_REQUIRE(ErrorCode::kInvalidArgument, count > 0, "prompt: expected at least one token");
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             request.prompt_mask.empty() || request.prompt_mask.size() == count,
             "attention_mask: expected ", count, " elements, got ", request.prompt_mask.size());
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             request.position_ids.empty() || request.position_ids.size() == count,
             "position_ids: expected ", count, " elements, got ", request.position_ids.size());
  M2_CHECK(request.config.max_length.has_value(), "the configuration must be resolved");
  generation::require_single_sequence(request.config);
  return request;
}

}  // namespace

Sequence::Sequence(RequestId id, EngineRequest request, PrefixCache& prefix_cache,
                   const SequenceOptions& options)
    : id_(id),
      request_(checked(std::move(request))),
      ids_(request_.prompt_ids),
      positions_(request_.position_ids),
      prefix_cache_(prefix_cache),
      blocks_(prefix_cache.allocator(), prefix_cache.block_size()),
      pipeline_(generation::build_pipeline(request_.config, options.pipeline)),
      stopping_(request_.config, generation::StoppingCriteria::Clock::now()) {
  if (std::ranges::count(request_.prompt_mask, 0) > 0) mask_ = request_.prompt_mask;
  if (positions_.empty()) positions_ = positions_of(ids_.size(), mask_);
  shares_prefix_ =
      options.shares_prefixes && mask_.empty() && positions_ == positions_of(ids_.size(), {});
}

std::int64_t Sequence::max_cached_tokens() const {
  return std::max(prompt_length(), *request_.config.max_length - 1);
}

bool Sequence::admit(std::int64_t headroom) {
  plan_memory();
  if (shares_prefix_) published_ = prefix_cache_.take(ids_, blocks_);
  if (blocks_.num_missing(num_tokens()) + headroom > prefix_cache_.allocator().num_free()) {
    release();
    return false;
  }
  M2_CHECK(reserve(), "the blocks were free");
  num_cached_ = published_.num_blocks * prefix_cache_.block_size();
  if (!num_prefix_tokens_) num_prefix_tokens_ = num_cached_;
  return true;
}

void Sequence::release() {
  blocks_.truncate(0);
  published_ = {};
  num_cached_ = 0;
}

// Decoding takes no memory: the token that ends the sequence has room too.
void Sequence::plan_memory() {
  const auto longest = static_cast<std::size_t>(max_cached_tokens() + 1);
  ids_.reserve(longest);
  positions_.reserve(longest);
  if (!mask_.empty()) mask_.reserve(longest);
  blocks_.plan_table(max_cached_tokens());
}

void Sequence::mark_cached(std::int64_t count) {
  num_cached_ += count;
  if (!shares_prefix_) return;
  const auto computed = std::span(ids_).first(static_cast<std::size_t>(num_cached_));
  prefix_cache_.publish(computed, blocks_, published_);
}

BatchEntry Sequence::next_entry(std::int64_t count) const {
  const auto first = static_cast<std::size_t>(num_cached_);
  const auto size = static_cast<std::size_t>(count);
  BatchEntry entry = {.token_ids = std::span(ids_).subspan(first, size),
                      .position_ids = std::span(positions_).subspan(first, size),
                      .num_cached_tokens = static_cast<std::int32_t>(num_cached_),
                      .blocks = &blocks_};
  if (!mask_.empty()) entry.key_mask = std::span(mask_).first(first + size);
  return entry;
}

std::optional<std::int32_t> Sequence::choose_best_token(generation::BestScores& best,
                                                        generation::LogitsScratch& scratch) {
  if (!pipeline_.apply({.ids = ids_}, best, scratch)) return std::nullopt;
  const std::int32_t token = best.id(static_cast<std::size_t>(draw(best.scores())));
  append(token);
  return token;
}

std::int32_t Sequence::choose_token(std::span<float> logits, generation::LogitsScratch& scratch) {
  pipeline_.apply({.ids = ids_}, logits, scratch);
  const std::int32_t token = draw(logits);
  append(token);
  return token;
}

// The place of the chosen one among processed scores.
std::int32_t Sequence::draw(std::span<const float> scores) const {
  if (!request_.config.do_sample.value_or(false)) return generation::argmax(scores);
  return generation::sample(scores, {.seed = request_.seed,
                                     .sequence = request_.stream,
                                     .position = static_cast<std::uint64_t>(num_tokens())});
}

std::optional<FinishReason> Sequence::finished() const {
  const auto reason = stopping_.check(ids_, generation::StoppingCriteria::Clock::now());
  if (!reason) return std::nullopt;
  switch (*reason) {
    case generation::StopReason::kEos:
      return FinishReason::kStop;
    case generation::StopReason::kLength:
      return FinishReason::kLength;
    case generation::StopReason::kTime:
      return FinishReason::kTime;
  }
  return std::nullopt;
}

void Sequence::append(std::int32_t token) {
  ids_.push_back(token);
  positions_.push_back(positions_.back() + 1);
  if (!mask_.empty()) mask_.push_back(1);
}

}  // namespace m2
