// How well a model predicts a text, and how far two models are from each other on it.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "m2/tokenizer.h"
#include "model/minimax_m2.h"

namespace m2 {

/// Mean of samples and its standard error, as of independent samples.
class MeanEstimate {
 public:
  void add(double sample);
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] double mean() const;
  [[nodiscard]] double error() const;

 private:
  std::int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of squared distances from the mean
};

struct PerplexityProgress {
  std::int64_t windows = 0;
  std::int64_t total_windows = 0;
  double perplexity = 0;  // so far
};

/// Windows of `context` tokens begin at every multiple of `stride` tokens of the text, as long as
/// they are whole; each is a sequence of its own, from position 0 on. In a window, the tokens
/// `first_scored()` .. context - 1 (counted from 0) are scored, each by the probability that it has
/// after all tokens before it in the window. With the default stride = context these are those
/// behind the middle, context/2 + 1 and on: llama.cpp's definition. With stride <= context / 2 they
/// are the last `stride` tokens, so every token of the text but the first ones counts once and has
/// at least context - stride tokens before it. Nothing is added at the start of a window. Of these,
/// only tokens that `counts` names are scored, where it is given.
struct PerplexityOptions {
  std::int64_t context = 512;
  std::int64_t stride = 0;               // 0: context
  std::int64_t max_windows = 0;          // 0: all
  std::span<const std::uint8_t> counts;  // of every token of the text, or empty: all count
  std::function<void(const PerplexityProgress&)> progress;
  std::stop_token stop;

  [[nodiscard]] std::int64_t effective_stride() const { return stride > 0 ? stride : context; }
  [[nodiscard]] std::int64_t first_scored() const;
};

/// 1 for tokens that lie behind `begin` and not behind the next `end`, the first of which still
/// counts: with a chat model's markers these are its replies, all that it was trained to predict.
/// `encoding` is that of the text with offsets in bytes. Throws kInvalidArgument when none does.
std::vector<std::uint8_t> tokens_between(const Encoding& encoding, std::string_view text,
                                         std::string_view begin, std::string_view end);

/// Against another model on the same tokens.
struct Divergence {
  MeanEstimate nll_difference;  // model - baseline, token by token
  MeanEstimate kl;              // of the baseline's distribution to the model's
  MeanEstimate same_top;        // 1 where both find the same token most probable
};

struct Perplexity {
  std::int64_t num_tokens = 0;  // of the text
  std::int64_t num_windows = 0;
  MeanEstimate nll;  // negative log-likelihood of a scored token, in nats
  std::optional<Divergence> divergence;

  [[nodiscard]] double value() const { return std::exp(nll.mean()); }
  /// To first order.
  [[nodiscard]] double error() const { return value() * nll.error(); }
};

/// Throws kInvalidArgument for a text shorter than a window and for sizes that make no sense,
/// kCancelled when `stop` asks. Logits are made for a few rows at a time.
Perplexity measure_perplexity(MiniMaxM2& model, std::span<const TokenId> ids,
                              const PerplexityOptions& options, MiniMaxM2* baseline = nullptr);

}  // namespace m2
