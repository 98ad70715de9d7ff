#include "service/perplexity.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "model/kv_cache.h"

namespace m2 {
namespace {

// Tokens of a forward pass, and rows of logits [rows, V] that exist at a time.
constexpr std::int64_t kPieceTokens = 512;
constexpr std::int64_t kLogitRows = 64;

// One model with a cache for one window.
class WindowReader {
 public:
  WindowReader(MiniMaxM2& model, std::int64_t context)
      : model_(model),
        cache_(model.placement(), model.config(), {.num_tokens = context}),
        blocks_(cache_.allocator(), cache_.block_size()),
        positions_(static_cast<std::size_t>(context)) {
    M2_CHECK(blocks_.reserve(context), "no room for ", context, " tokens");
    std::iota(positions_.begin(), positions_.end(), 0);
  }

  // Tokens [begin, begin + count) of a window whose earlier tokens were read.
  void read(std::span<const TokenId> window, std::size_t begin, std::size_t count) {
    batch_.clear();
    batch_.add({.token_ids = window.subspan(begin, count),
                .position_ids = std::span<const std::int64_t>(positions_).subspan(begin, count),
                .num_cached_tokens = static_cast<std::int32_t>(begin),
                .blocks = &blocks_});
    batch_.finish();
    model_.forward(batch_, cache_);
  }

  std::span<const float> logits(std::span<const std::int32_t> rows) {
    const TensorView view = model_.logits(rows);
    return {view.as<float>(), static_cast<std::size_t>(view.num_elements())};
  }

 private:
  MiniMaxM2& model_;
  KvCache cache_;
  SequenceBlocks blocks_;
  std::vector<std::int64_t> positions_;  // [context]
  Batch batch_;
};

// log sum exp of [V].
double log_total(std::span<const float> logits) {
  const float largest = *std::ranges::max_element(logits);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit - largest);
  return largest + std::log(total);
}

std::size_t top(std::span<const float> logits) {
  return static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
}

class Scorer {
 public:
  Scorer(MiniMaxM2& model, MiniMaxM2* baseline, std::int64_t context)
      : vocab_size_(static_cast<std::size_t>(model.config().vocab_size)), model_(model, context) {
    if (baseline == nullptr) return;
    M2_REQUIRE(ErrorCode::kInvalidArgument,
               baseline->config().vocab_size == model.config().vocab_size,
               "perplexity: the baseline has a vocabulary of ", baseline->config().vocab_size,
               ", the model one of ", model.config().vocab_size);
    baseline_.emplace(*baseline, context);
    result_.divergence.emplace();
  }

  // `counts` as PerplexityOptions has it, for the window's tokens.
  void score(std::span<const TokenId> window, std::size_t first_scored,
             std::span<const std::uint8_t> counts) {
    for (std::size_t begin = 0; begin < window.size(); begin += kPieceTokens) {
      const std::size_t count = std::min<std::size_t>(kPieceTokens, window.size() - begin);
      model_.read(window, begin, count);
      if (baseline_) baseline_->read(window, begin, count);
      // The token behind row r of the piece is token begin + r + 1 of the window.
      const std::size_t last = std::min(begin + count, window.size() - 1);
      rows_.clear();
      for (std::size_t target = std::max(begin + 1, first_scored); target <= last; ++target) {
        if (!counts.empty() && counts[target] == 0) continue;
        rows_.push_back(static_cast<std::int32_t>(target - 1 - begin));
      }
      score_rows(window.subspan(begin + 1));
    }
    ++result_.num_windows;
  }

  [[nodiscard]] Perplexity& result() { return result_; }

 private:
  // Those in rows_; `targets` are the tokens behind the rows of the piece.
  void score_rows(std::span<const TokenId> targets) {
    for (std::size_t first = 0; first < rows_.size(); first += kLogitRows) {
      const auto rows = std::span<const std::int32_t>(rows_).subspan(
          first, std::min<std::size_t>(kLogitRows, rows_.size() - first));
      const std::span<const float> logits = model_.logits(rows);
      const std::span<const float> base = baseline_ ? baseline_->logits(rows) : logits;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        score_row(logits.subspan(i * vocab_size_, vocab_size_),
                  base.subspan(i * vocab_size_, vocab_size_),
                  static_cast<std::size_t>(targets[static_cast<std::size_t>(rows[i])]));
      }
    }
  }

  void score_row(std::span<const float> logits, std::span<const float> base, std::size_t target) {
    const double total = log_total(logits);
    const double nll = total - logits[target];
    result_.nll.add(nll);
    if (!result_.divergence) return;
    const double base_total = log_total(base);
    double kl = 0;
    for (std::size_t i = 0; i < vocab_size_; ++i) {
      const double log_p = base[i] - base_total;
      kl += std::exp(log_p) * (log_p - (logits[i] - total));
    }
    result_.divergence->kl.add(kl);
    result_.divergence->nll_difference.add(nll - (base_total - base[target]));
    result_.divergence->same_top.add(top(logits) == top(base) ? 1 : 0);
  }

  std::size_t vocab_size_;
  WindowReader model_;
  std::optional<WindowReader> baseline_;
  std::vector<std::int32_t> rows_;  // of the last piece, those that are scored
  Perplexity result_;
};

void check_options(const PerplexityOptions& options, std::size_t num_tokens,
                   const MiniMaxM2Config& config) {
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             options.context >= 4 && options.context <= config.max_position_embeddings,
             "perplexity: context: expected a number from 4 to ", config.max_position_embeddings,
             ", got ", options.context);
  const std::int64_t stride = options.effective_stride();
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             stride == options.context || (stride >= 1 && stride <= options.context / 2),
             "perplexity: stride: expected the context ", options.context, " or at most half of it",
             ", got ", stride);
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_greater_equal(num_tokens, options.context),
             "perplexity: the text has ", num_tokens, " tokens, a window needs ", options.context);
  M2_CHECK(options.counts.empty() || options.counts.size() == num_tokens, "counts of ",
           options.counts.size(), " tokens for ", num_tokens);
}

}  // namespace

void MeanEstimate::add(double sample) {
  ++count_;
  const double before = sample - mean_;
  mean_ += before / static_cast<double>(count_);
  squares_ += before * (sample - mean_);
}

double MeanEstimate::mean() const { return mean_; }

double MeanEstimate::error() const {
  if (count_ < 2) return 0;
  const auto count = static_cast<double>(count_);
  return std::sqrt(squares_ / (count - 1) / count);
}

std::int64_t PerplexityOptions::first_scored() const {
  const std::int64_t step = effective_stride();
  return step == context ? context / 2 + 1 : context - step;
}

std::vector<std::uint8_t> tokens_between(const Encoding& encoding, std::string_view text,
                                         std::string_view begin, std::string_view end) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !begin.empty() && !end.empty(),
             "perplexity: a marker of what counts is empty");
  std::vector<std::uint8_t> counts(encoding.size());
  std::size_t token = 0;
  for (std::size_t from = text.find(begin); from != text.npos; from = text.find(begin, from)) {
    from += begin.size();
    const std::size_t found = text.find(end, from);
    const std::size_t to = found == text.npos ? text.size() : found + end.size();
    while (token < counts.size() && encoding.offsets[token].begin < from) ++token;
    for (; token < counts.size() && encoding.offsets[token].end <= to; ++token) counts[token] = 1;
    from = to;
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::ranges::find(counts, 1) != counts.end(),
             "perplexity: no token lies between \"", begin, "\" and \"", end, "\"");
  return counts;
}

Perplexity measure_perplexity(MiniMaxM2& model, std::span<const TokenId> ids,
                              const PerplexityOptions& options, MiniMaxM2* baseline) {
  check_options(options, ids.size(), model.config());
  const auto context = static_cast<std::size_t>(options.context);
  const auto stride = static_cast<std::size_t>(options.effective_stride());
  std::size_t windows = (ids.size() - context) / stride + 1;
  if (options.max_windows > 0) {
    windows = std::min(windows, static_cast<std::size_t>(options.max_windows));
  }
  Scorer scorer(model, baseline, options.context);
  scorer.result().num_tokens = std::ssize(ids);
  for (std::size_t i = 0; i < windows; ++i) {
    M2_REQUIRE(ErrorCode::kCancelled, !options.stop.stop_requested(), "perplexity: interrupted");
    const auto counts =
        options.counts.empty() ? options.counts : options.counts.subspan(i * stride, context);
    scorer.score(ids.subspan(i * stride, context), static_cast<std::size_t>(options.first_scored()),
                 counts);
    if (!options.progress) continue;
    options.progress({static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(windows),
                      scorer.result().value()});
  }
  return scorer.result();
}

}  // namespace m2
