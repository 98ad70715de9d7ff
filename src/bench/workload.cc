#include "bench/workload.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"
#include "ops/random_fill.h"

namespace m2::bench {
namespace {

constexpr std::int32_t kBlockSize = 32;

KvCacheOptions cache_options(const BenchTest& test, const WorkloadOptions& options) {
  const std::int64_t blocks =
      test.num_seqs * SequenceBlocks::blocks_for(test.context + test.num_tokens, kBlockSize);
  return {.num_tokens = blocks * kBlockSize, .block_size = kBlockSize, .format = options.kv_format};
}

}  // namespace

Workload::Workload(MiniMaxM2& model, const BenchTest& test, const WorkloadOptions& options)
    : model_(model),
      test_(test),
      options_(options),
      cache_(model.placement(), model.config(), cache_options(test, options)) {
  const MiniMaxM2Config& config = model.config();
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             test.context + test.num_tokens <= config.max_position_embeddings, "context ",
             test.context, " and ", test.num_tokens, " tokens: the model has ",
             config.max_position_embeddings, " positions");
  fill_cache();
  for (std::int64_t s = 0; s < test.num_seqs; ++s) {
    SequenceBlocks& blocks = blocks_.emplace_back(cache_.allocator(), kBlockSize);
    M2_CHECK(blocks.reserve(test.context + test.num_tokens), "the cache has room for all");
  }
  positions_.resize(static_cast<std::size_t>(test.num_tokens));
  std::iota(positions_.begin(), positions_.end(), test.context);
  const auto vocab_size = static_cast<std::uint64_t>(config.vocab_size);
  for (std::int64_t i = 0; i < test.num_seqs * test.num_tokens; ++i) {
    const std::uint64_t draw = derive_seed(options.seed, static_cast<std::uint64_t>(i));
    ids_.push_back(static_cast<std::int32_t>(draw % vocab_size));
  }
}

void Workload::fill_cache() {
  std::uint64_t seed = options_.seed;
  for (std::size_t layer = 0; layer < model_.placement().layers.size(); ++layer) {
    const KvCacheView view = cache_.layer(layer);
    for (const TensorView& part : {view.keys, view.values}) {
      model_.placement().layers[layer]->random_fill(
          {.data = part.data,
           .num_bytes = static_cast<std::int64_t>(part.num_bytes()),
           .pattern = random_pattern(part.dtype, 1.0F),
           .seed = ++seed});
    }
  }
}

std::int64_t Workload::num_steps() const {
  if (test_.kind == BenchTest::Kind::kDecode) return test_.num_tokens;
  return (test_.num_tokens + options_.chunk - 1) / options_.chunk;
}

// The batch and the logits of a step: one token of every sequence, or a piece of the prompts.
Step Workload::prepare(std::int64_t index) {
  const bool decode = test_.kind == BenchTest::Kind::kDecode;
  const std::int64_t width = decode ? 1 : options_.chunk;
  const std::int64_t first = index * width;
  const std::int64_t count = std::min(width, test_.num_tokens - first);
  const bool last = first + count == test_.num_tokens;
  batch_.clear();
  logit_rows_.clear();
  for (std::int64_t s = 0; s < test_.num_seqs; ++s) {
    const auto begin = static_cast<std::size_t>(s * test_.num_tokens + first);
    batch_.add({.token_ids = std::span(ids_).subspan(begin, static_cast<std::size_t>(count)),
                .position_ids =
                    std::span(positions_)
                        .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                .num_cached_tokens = static_cast<std::int32_t>(test_.context + first),
                .blocks = &blocks_[static_cast<std::size_t>(s)]});
    if (decode || last) logit_rows_.push_back(batch_.cu_seqlens.back() - 1);
  }
  batch_.finish();
  return {.num_seqs = test_.num_seqs,
          .num_tokens = count,
          .num_cached = test_.context + first,
          .num_logits = std::ssize(logit_rows_)};
}

void Workload::each_step(const ForwardOptions& options,
                         const std::function<void(const Step&)>& after) {
  for (std::int64_t index = 0; index < num_steps(); ++index) {
    const Step step = prepare(index);
    model_.step(batch_, cache_, logit_rows_, options);
    after(step);
  }
}

void Workload::run() {
  each_step({}, [](const Step&) {});
}

std::vector<Step> Workload::count(ExpertCounter& counter) {
  StudyOutputs outputs;
  std::vector<Step> steps;
  each_step({.study = {.router_logits = true}, .study_outputs = &outputs}, [&](const Step& step) {
    steps.push_back(step);
    steps.back().experts_used = counter.count(outputs);
    outputs.router_logits.clear();
  });
  return steps;
}

}  // namespace m2::bench
