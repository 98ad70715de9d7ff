#include "generation/logits_penalties.h"

#include "base/error.h"
#include "generation/live_scores.h"

#include <algorithm>
#include <cmath>

namespace m2::generation {
namespace {

// The score of an id, or null if it has none.
float* find_score(std::span<float> scores, std::int32_t id) {
  const auto index = static_cast<std::uint32_t>(id);  // negative ids become huge
  return index < scores.size() ? &scores[index] : nullptr;
}

bool ends_with(std::span<const std::int32_t> ids, std::span<const std::int32_t> suffix) {
  return suffix.size() <= ids.size() && std::ranges::equal(ids.last(suffix.size()), suffix);
}

}  // namespace

SequenceBiasTable::SequenceBiasTable(std::span<const SequenceBias> biases) {
  for (const auto& bias : biases) {
    M2_CHECK(!bias.ids.empty(), "a bias without ids");
    const std::int32_t token = bias.ids.back();
    auto target = std::ranges::find(targets_, token, &Target::token);
    if (target == targets_.end()) {
      targets_.push_back({.token = token, .always = 0.0F, .after = {}});
      target = targets_.end() - 1;
    }
    if (bias.ids.size() == 1) {
      target->always = bias.bias;
      continue;
    }
    const std::vector<std::int32_t> before(bias.ids.begin(), bias.ids.end() - 1);
    const auto known = std::ranges::find(target->after, before, &SequenceBias::ids);
    if (known == target->after.end()) {
      target->after.push_back({.ids = before, .bias = bias.bias});
    } else {
      known->bias = bias.bias;
    }
  }
}

void SequenceBiasTable::apply(std::span<const std::int32_t> ids, std::span<float> scores) const {
  for (const auto& target : targets_) {
    float* score = find_score(scores, target.token);
    if (score == nullptr) continue;
    float bias = target.always;
    for (const auto& sequence : target.after) {
      // The reference skips sequences longer than the text, so one of exactly its length plus one
      // never matches.
      const bool fits = sequence.ids.size() + 1 <= ids.size();
      if (fits && ends_with(ids, sequence.ids)) bias += sequence.bias;
    }
    *score += bias;
  }
}

void ban_tokens(std::span<const std::int32_t> banned, std::span<float> scores) {
  for (const std::int32_t id : banned) {
    if (float* score = find_score(scores, id)) *score = kRemoved;
  }
}

void allow_only(std::span<const std::int32_t> allowed, std::span<float> scores,
                LogitsScratch& scratch) {
  scratch.clear_marks();
  for (const std::int32_t id : allowed) {
    if (find_score(scores, id) != nullptr) scratch.mark(static_cast<std::size_t>(id));
  }
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (!scratch.is_marked(id)) scores[id] = kRemoved;
  }
}

void force_tokens(std::span<const std::int32_t> forced, std::span<float> scores) {
  std::ranges::fill(scores, kRemoved);
  for (const std::int32_t id : forced) {
    if (float* score = find_score(scores, id)) *score = 0.0F;
  }
}

void apply_repetition_penalty(std::span<const std::int32_t> ids, std::span<float> scores,
                              double penalty, LogitsScratch& scratch) {
  const auto factor = static_cast<float>(penalty);
  scratch.clear_marks();
  for (const std::int32_t id : ids) {
    float* score = find_score(scores, id);
    if (score == nullptr || !scratch.mark(static_cast<std::size_t>(id))) continue;
    *score = *score < 0.0F ? *score * factor : *score / factor;
  }
}

void apply_count_penalties(std::span<const std::int32_t> generated, std::span<float> scores,
                           double frequency, double presence, LogitsScratch& scratch) {
  scratch.clear_marks();
  for (const std::int32_t id : generated) {
    float* score = find_score(scores, id);
    if (score == nullptr) continue;
    *score -= static_cast<float>(frequency);
    if (scratch.mark(static_cast<std::size_t>(id))) *score -= static_cast<float>(presence);
  }
}

void ban_repeated_ngrams(std::span<const std::int32_t> source, std::span<const std::int32_t> ids,
                         std::int64_t ngram_size, std::span<float> scores) {
  const auto length = static_cast<std::size_t>(ngram_size);
  if (ids.size() + 1 < length) return;
  const auto ending = ids.last(length - 1);
  for (std::size_t start = 0; start + length <= source.size(); ++start) {
    if (!std::ranges::equal(source.subspan(start, length - 1), ending)) continue;
    if (float* score = find_score(scores, source[start + length - 1])) *score = kRemoved;
  }
}

void apply_exponential_decay(std::span<const std::int32_t> eos, double factor,
                             std::int64_t num_past, std::span<float> scores,
                             LogitsScratch& scratch) {
  const double growth = std::pow(factor, static_cast<double>(num_past)) - 1.0;
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::isfinite(static_cast<float>(growth)),
             "exponential_decay_length_penalty: ", factor, " to the power of ", num_past,
             " is out of range");
  scratch.clear_marks();
  for (const std::int32_t id : eos) {
    float* score = find_score(scores, id);
    if (score == nullptr || !scratch.mark(static_cast<std::size_t>(id))) continue;
    if (*score > kRemoved) *score += std::abs(*score) * static_cast<float>(growth);
  }
}

}  // namespace m2::generation
