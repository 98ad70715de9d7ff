// Assisted generation: one pass of the model verifies a whole draft.
#include <algorithm>
#include <utility>

#include "generation/generate/drafter.h"
#include "generation/speculative.h"

namespace m2::generation {
namespace {

// Positions [begin, end) and the first `num_keys` keys of `source` [1, Nq, Q, K] or, without
// `num_keys`, [1, Q, H].
Tensor slice(const Tensor& source, std::int64_t begin, std::int64_t end, std::int64_t num_keys) {
  const Shape& shape = source.shape();
  const bool is_attention = shape.rank() == 4;
  const std::int64_t heads = is_attention ? shape[1] : 1;
  const std::int64_t queries = shape[shape.rank() - 2];
  const std::int64_t stride = shape[shape.rank() - 1];
  const std::int64_t width = is_attention ? std::min(num_keys, stride) : stride;
  Tensor part(DType::kF32, is_attention ? Shape({1, heads, end - begin, width})
                                        : Shape({1, end - begin, width}));
  float* next = part.as<float>();
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t query = begin; query < end; ++query) {
      next = std::copy_n(source.as<float>() + (head * queries + query) * stride, width, next);
    }
  }
  return part;
}

// The outputs of one pass as those of a step for every token: the first has all positions before
// the draft, the others one each.
void split_outputs(const std::vector<Tensor>& layers, std::int64_t num_drafted, std::size_t count,
                   std::size_t num_tokens, std::vector<std::vector<Tensor>>& steps) {
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Tensor>& step = steps.emplace_back();
    for (const Tensor& layer : layers) {
      const std::int64_t before = layer.shape()[layer.shape().rank() - 2] - num_drafted;
      const auto index = static_cast<std::int64_t>(i);
      step.push_back(slice(layer, i == 0 ? 0 : before - 1 + index, before + index,
                           static_cast<std::int64_t>(num_tokens) + index));
    }
  }
}

class AssistedLoop {
 public:
  AssistedLoop(Search& search, Drafter& drafter) : search_(search), drafter_(drafter) {}

  void run() {
    search_.prefill();
    do {
      step();
    } while (!search_.stopping().ends(ids(), 0));
  }

 private:
  [[nodiscard]] Ids& ids() { return search_.rows()[0]; }
  [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(search_.vocab_size()); }

  void step() {
    Draft draft = drafter_.propose(ids());
    const std::size_t num_proposed = draft.tokens.size();
    const bool ends = cut_at_end(draft.tokens);
    draft.scores.resize(std::min(draft.scores.size(), draft.tokens.size() * width()));
    std::vector<Ids> rows = {ids()};
    rows[0].insert(rows[0].end(), draft.tokens.begin(), draft.tokens.end());
    const auto num_logits = static_cast<std::int64_t>(draft.tokens.size()) + 1;
    MoeCausalLMOutputWithPast outputs = search_.advance(rows, num_logits);
    const std::span<float> scores(outputs.logits.as<float>(), (draft.tokens.size() + 1) * width());
    const std::vector<float> raw = search_.records_logits()
                                       ? std::vector<float>(scores.begin(), scores.end())
                                       : std::vector<float>();
    for (std::size_t i = 0; i <= draft.tokens.size(); ++i) {
      search_.process(std::span(rows[0]).first(ids().size() + i), 0, static_cast<std::int64_t>(i),
                      scores.subspan(i * width(), width()));
    }
    const Verdict verdict = verify(draft, scores, ends);
    record(outputs, raw, verdict.tokens.size(), static_cast<std::int64_t>(draft.tokens.size()));
    ids().insert(ids().end(), verdict.tokens.begin(), verdict.tokens.end());
    search_.crop(static_cast<std::int64_t>(ids().size()) - 1);
    search_.stream(verdict.tokens);
    drafter_.learn(ids(), static_cast<std::int64_t>(num_proposed), verdict.num_matches);
  }

  // Nothing may follow a token that ends the text. The reference looks at the whole draft only, and
  // so runs over stop strings inside it and over max_length.
  bool cut_at_end(Ids& draft) {
    if (draft.empty()) return false;
    Ids text = ids();
    if (search_.options().strict) {
      text.insert(text.end(), draft.begin(), draft.end());
      return search_.stopping().ends(text, 0);
    }
    for (std::size_t i = 0; i < draft.size(); ++i) {
      text.push_back(draft[i]);
      if (!search_.stopping().ends(text, 0)) continue;
      draft.resize(i + 1);
      return true;
    }
    return false;
  }

  Verdict verify(const Draft& draft, std::span<const float> scores, bool ends) {
    const std::size_t length = ids().size();
    if (search_.do_sample() && !draft.scores.empty()) {
      return verify_draws(draft.tokens, scores, draft.scores, ends,
                          [&](std::size_t index, DrawPurpose purpose) {
                            return search_.draw_key(0, length + index, purpose);
                          });
    }
    Ids chosen;
    for (std::size_t i = 0; i <= draft.tokens.size(); ++i) {
      chosen.push_back(search_.choose(scores.subspan(i * width(), width()), 0, length + i));
    }
    return verify_choices(draft.tokens, chosen, ends);
  }

  void record(const MoeCausalLMOutputWithPast& outputs, const std::vector<float>& raw,
              std::size_t count, std::int64_t num_drafted) {
    GenerateOutput& output = search_.output();
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = [&](const float* scores) {
        Tensor step(DType::kF32, {1, search_.vocab_size()});
        std::copy_n(scores + i * width(), width(), step.as<float>());
        return step;
      };
      if (search_.records_logits()) output.logits.push_back(row(raw.data()));
      if (search_.records_scores()) output.scores.push_back(row(outputs.logits.as<float>()));
    }
    if (search_.records_hidden_states()) {
      split_outputs(outputs.hidden_states, num_drafted, count, ids().size(), output.hidden_states);
    }
    if (search_.records_attentions()) {
      split_outputs(outputs.attentions, num_drafted, count, ids().size(), output.attentions);
    }
  }

  Search& search_;
  Drafter& drafter_;
};

}  // namespace

void run_assisted(Search& search, Drafter& drafter) { AssistedLoop(search, drafter).run(); }

}  // namespace m2::generation
