#include "generate.h"

#include "forward.h"
#include "interrupt.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include "m2/generation.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

// Views of the library's memory that are valid during a callback; the Python layer copies.
nb::object ids_view(std::span<const std::int32_t> ids) {
  const nb::ndarray<nb::numpy, const std::int32_t, nb::ndim<1>> array(ids.data(), {ids.size()});
  return nb::cast(array, nb::rv_policy::reference);
}

nb::object scores_view(std::span<float> scores) {
  const nb::ndarray<nb::numpy, float, nb::ndim<1>> array(scores.data(), {scores.size()});
  return nb::cast(array, nb::rv_policy::reference);
}

// put(int64 array of its own: the prompt [1, P], then every step's tokens [n]), end().
class PythonStreamer final : public BaseStreamer {
 public:
  explicit PythonStreamer(nb::handle streamer) : streamer_(streamer) {}

  void put(std::span<const std::int64_t> ids) override {
    const nb::gil_scoped_acquire gil;
    using Array = nb::ndarray<nb::numpy, const std::int64_t>;
    const Array array =
        prompt_ ? Array(ids.data(), {1, ids.size()}) : Array(ids.data(), {ids.size()});
    prompt_ = false;
    streamer_.attr("put")(nb::cast(array, nb::rv_policy::copy));
  }
  void end() override {
    const nb::gil_scoped_acquire gil;
    streamer_.attr("end")();
  }

 private:
  nb::handle streamer_;
  bool prompt_ = true;
};

void take_processors(Keywords& keywords, GenerateOptions& options) {
  const nb::handle processors = keywords.pop_callback("logits_processor");
  if (!processors.is_valid()) return;
  for (const nb::handle entry : processors) {
    const nb::handle process = entry[1];  // the list keeps it
    options.logits_processor.push_back(
        {nb::cast<std::string>(entry[0]),
         [process](std::span<const std::int32_t> ids, std::int64_t row, std::span<float> scores) {
           const nb::gil_scoped_acquire gil;
           process(ids_view(ids), row, scores_view(scores));
         }});
  }
}

// Python's own signals are looked at here, too: the library asks after every step.
void take_stopping(Keywords& keywords, GenerateOptions& options) {
  options.stopping_criteria.emplace_back([](std::span<const std::int32_t>, std::int64_t) {
    check_signals();
    return false;
  });
  const nb::handle criteria = keywords.pop_callback("stopping_criteria");
  if (!criteria.is_valid()) return;
  for (const nb::handle criterion : criteria) {
    options.stopping_criteria.emplace_back(
        [criterion](std::span<const std::int32_t> ids, std::int64_t row) {
          const nb::gil_scoped_acquire gil;
          return nb::cast<bool>(criterion(ids_view(ids), row));
        });
  }
}

void take_prefix_function(Keywords& keywords, GenerateOptions& options) {
  const nb::handle allowed = keywords.pop_callback("prefix_allowed_tokens_fn");
  if (!allowed.is_valid()) return;
  options.prefix_allowed_tokens_fn = [allowed](std::int64_t batch_index,
                                               std::span<const std::int32_t> ids) {
    const nb::gil_scoped_acquire gil;
    return nb::cast<std::vector<std::int32_t>>(allowed(batch_index, ids_view(ids)));
  };
}

GenerateInputs read_inputs(Keywords& keywords) {
  GenerateInputs inputs;
  keywords.take("input_ids", inputs.input_ids);
  keywords.take("attention_mask", inputs.attention_mask);
  keywords.take("position_ids", inputs.position_ids);
  keywords.take("inputs_embeds", inputs.inputs_embeds);
  keywords.take("past_key_values", inputs.past_key_values);
  return inputs;
}

// Steps of layers: a tuple of tuples in Python.
nb::list to_lists(std::vector<std::vector<Tensor>>& steps) {
  nb::list list;
  for (auto& step : steps) list.append(to_list(step));
  return list;
}

nb::dict to_dict(GenerateOutput output) {
  nb::dict dict;
  dict["sequences"] = to_numpy(std::move(output.sequences));
  dict["sequences_scores"] = to_numpy(std::move(output.sequences_scores));
  dict["scores"] = to_list(output.scores);
  dict["logits"] = to_list(output.logits);
  dict["beam_indices"] = to_numpy(std::move(output.beam_indices));
  dict["attentions"] = to_lists(output.attentions);
  dict["hidden_states"] = to_lists(output.hidden_states);
  dict["past_key_values"] = nb::cast(output.past_key_values);
  dict["warnings"] = nb::cast(output.warnings);
  return dict;
}

}  // namespace

nb::dict generate(MiniMaxM2ForCausalLM& model, const GenerationConfig& call,
                  const nb::kwargs& kwargs) {
  Keywords keywords(kwargs);
  const GenerateInputs inputs = read_inputs(keywords);
  GenerateOptions options;
  take_processors(keywords, options);
  take_stopping(keywords, options);
  take_prefix_function(keywords, options);
  keywords.take("assistant_model", options.assistant_model);
  keywords.take("negative_prompt_ids", options.negative_prompt_ids);
  keywords.take("negative_prompt_attention_mask", options.negative_prompt_attention_mask);
  keywords.take("num_valid_tokens", options.num_valid_tokens);
  keywords.take("strict", options.strict);
  const Tokenizer* tokenizer = nullptr;
  keywords.take("tokenizer", tokenizer);
  options.tokenizer = tokenizer;
  std::optional<PythonStreamer> streamer;
  if (const nb::handle handle = keywords.pop_callback("streamer"); handle.is_valid()) {
    options.streamer = &streamer.emplace(handle);
  }
  keywords.finish("generate");
  GenerateOutput output = [&] {
    const nb::gil_scoped_release release;
    return model.generate(inputs, call, options);
  }();
  return to_dict(std::move(output));
}

void bind_transition_scores(nb::module_& module) {
  module.def(
      "compute_transition_scores",
      [](const Array& sequences, const std::vector<Array>& scores,
         const std::optional<Array>& beam_indices, bool normalize_logits) {
        std::vector<Tensor> steps;  // of the caller's memory
        for (const Array& step : scores) steps.emplace_back(view_of(step, "scores"), [](void*) {});
        const TensorView beams =
            beam_indices ? view_of(*beam_indices, "beam_indices") : TensorView{};
        return to_numpy(compute_transition_scores(view_of(sequences, "sequences"), steps, beams,
                                                  normalize_logits));
      },
      nb::arg("sequences"), nb::arg("scores"), nb::arg("beam_indices").none(),
      nb::arg("normalize_logits"), "[R, N] float32");
}

}  // namespace m2::python
