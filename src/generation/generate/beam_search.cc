// Beam search and beam sample over the rows of a call: n rows for each prompt.
#include <algorithm>

#include "generation/generate/beam_group.h"
#include "generation/generate/search.h"

namespace m2::generation {
namespace {

class BeamSearch {
 public:
  explicit BeamSearch(Search& search)
      : search_(search),
        num_beams_(*search.config().num_beams),
        early_stopping_(search.config().early_stopping.value_or(EarlyStopping::kNo)) {
    const auto num_eos =
        static_cast<std::int64_t>(search.config().eos_token_id.value_or(Ids{}).size());
    num_candidates_ = std::max<std::int64_t>(2, 1 + num_eos) * num_beams_;
    const BeamOptions options = {.num_beams = num_beams_,
                                 .prompt_length = search.prompt_length(),
                                 .max_length = *search.config().max_length,
                                 .length_penalty = *search.config().length_penalty,
                                 .early_stopping = early_stopping_};
    for (std::size_t row = 0; row < search.rows().size(); row += beams()) {
      groups_.emplace_back(search.rows()[row], options);
    }
  }

  void run() {
    search_.prefill();
    do {
      Tensor scores = search_.next_scores(ScoreKind::kLogProbs);
      for (std::size_t group = 0; group < groups_.size(); ++group) step(group, scores);
      follow_beams();
    } while (goes_on(groups_, early_stopping_));
    write_output();
  }

 private:
  [[nodiscard]] std::size_t beams() const { return static_cast<std::size_t>(num_beams_); }

  void step(std::size_t group, const Tensor& scores) {
    const auto width = static_cast<std::size_t>(search_.vocab_size());
    const std::span<float> all(scores.as<float>() + group * beams() * width, beams() * width);
    const auto& running = groups_[group].running();
    for (std::size_t beam = 0; beam < beams(); ++beam) {
      for (float& score : all.subspan(beam * width, width)) score += running[beam].score;
    }
    std::vector<BeamCandidate> candidates =
        search_.do_sample()
            ? draw_candidates(all, search_.vocab_size(), num_candidates_,
                              search_.draw_key(static_cast<std::int64_t>(group),
                                               running[0].ids.size(), DrawPurpose::kCandidate))
            : best_candidates(all, search_.vocab_size(), num_candidates_);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      Ids& ids = search_.rows()[group * beams() + static_cast<std::size_t>(candidates[i].beam)];
      ids.push_back(candidates[i].token);
      const auto row = static_cast<std::int64_t>(group) * num_candidates_;
      candidates[i].ends = search_.stopping().ends(ids, row + static_cast<std::int64_t>(i));
      ids.pop_back();
    }
    groups_[group].step(candidates);
  }

  // Rows and cache go on as the beams that were chosen.
  void follow_beams() {
    std::vector<std::int64_t> parents;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      for (const Beam& beam : groups_[group].running()) {
        search_.rows()[parents.size()] = beam.ids;
        parents.push_back(static_cast<std::int64_t>(group) * num_beams_ + beam.indices.back());
      }
    }
    search_.reorder(parents);
  }

  // The reference takes a padding token 0 for none.
  [[nodiscard]] std::int32_t filler() const {
    const GenerationConfig& config = search_.config();
    const bool has_eos = search_.stopping().has_eos();
    if (search_.options().strict) {
      if (!has_eos) return -1;
      return config.pad_token_id.value_or(0) != 0 ? *config.pad_token_id
                                                  : config.eos_token_id->front();
    }
    return config.pad_token_id.value_or(-1);
  }

  void write_output() {
    const auto wanted = static_cast<std::size_t>(*search_.config().num_return_sequences);
    std::vector<Ids> sequences;
    std::vector<Ids> indices;
    std::vector<float> scores;
    std::size_t longest = 0;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      for (const Beam& beam : std::span(groups_[group].pool()).first(wanted)) {
        sequences.push_back(beam.ids);
        scores.push_back(beam.score);
        Ids& row = indices.emplace_back();
        for (const std::int32_t index : beam.indices) {
          row.push_back(static_cast<std::int32_t>(group * beams()) + index);
        }
        longest = std::max(longest, row.size());
      }
    }
    for (std::size_t row = 0; row < sequences.size(); ++row) {
      sequences[row].resize(static_cast<std::size_t>(search_.prompt_length()) + longest, filler());
      indices[row].resize(longest, -1);
    }
    write(sequences, indices, scores);
  }

  void write(const std::vector<Ids>& sequences, const std::vector<Ids>& indices,
             const std::vector<float>& scores) {
    GenerateOutput& output = search_.output();
    output.sequences = to_tensor(sequences);
    if (!search_.config().return_dict_in_generate.value_or(false)) return;
    output.beam_indices = Tensor(DType::kI32, {static_cast<std::int64_t>(indices.size()),
                                               static_cast<std::int64_t>(indices[0].size())});
    auto* next = output.beam_indices.as<std::int32_t>();
    for (const Ids& row : indices) next = std::ranges::copy(row, next).out;
    if (!search_.records_scores()) return;
    output.sequences_scores = Tensor(DType::kF32, {static_cast<std::int64_t>(scores.size())});
    std::ranges::copy(scores, output.sequences_scores.as<float>());
  }

  Search& search_;
  std::int64_t num_beams_;
  EarlyStopping early_stopping_;
  std::int64_t num_candidates_ = 0;
  std::vector<BeamGroup> groups_;
};

}  // namespace

void run_beam_search(Search& search) { BeamSearch(search).run(); }

}  // namespace m2::generation
