// Choosing a token from processed scores.
//
// Sampling is keyed, not stateful: the random number for a token depends on the request's seed, the
// sequence within the request and the token's position, and on nothing else. Who shares a batch,
// the order of the rows and a preemption in between change nothing.
#pragma once

#include <cstdint>
#include <span>

namespace m2::generation {

/// What a random number is for. Decoding schemes that need several for one position (acceptance
/// tests, redrawing) take one number each, so that the draws stay independent.
enum class DrawPurpose : std::uint32_t {
  kToken = 0,
  kDraftToken,     ///< a token that an assistant proposes
  kAcceptance,     ///< whether it is taken
  kResidualToken,  ///< the token in its place
  kCandidate,      ///< beam sample: the first of its draws; the others follow
};

struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t sequence = 0;  ///< which of the request's sequences
  std::uint64_t position = 0;  ///< length of the sequence before the token
  DrawPurpose purpose = DrawPurpose::kToken;
};

/// A number in [0, 1) with 53 random bits.
double uniform(const DrawKey& key);

/// The best token, the lowest id among equals. Throws kInternal if a score is NaN.
std::int32_t argmax(std::span<const float> scores);

/// Draws a token from softmax(scores). Tokens at -inf are never drawn. Throws kInvalidArgument if
/// all are, kInternal if a score is NaN or +inf.
std::int32_t sample(std::span<const float> scores, const DrawKey& key);

}  // namespace m2::generation
