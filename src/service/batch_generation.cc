#include "service/batch_generation.h"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

template <typename T>
std::vector<T> row_of(const std::vector<T>& values, const BatchInputs& inputs, std::int64_t row) {
  if (values.empty()) return {};
  const auto begin = values.begin() + row * inputs.sequence_length;
  return {begin, begin + inputs.sequence_length};
}

std::vector<std::uint8_t> infer_mask(const BatchInputs& inputs, const GenerationConfig& model,
                                     const GenerationConfig& call) {
  const GenerationConfig merged = model.merge(call);
  if (!merged.pad_token_id) return {};
  const std::int32_t pad = *merged.pad_token_id;
  const auto eos = merged.eos_token_id.value_or(std::vector<std::int32_t>{});
  if (std::ranges::count(eos, pad) > 0 || std::ranges::count(inputs.input_ids, pad) == 0) return {};
  std::vector<std::uint8_t> mask;
  mask.reserve(inputs.input_ids.size());
  for (const std::int32_t id : inputs.input_ids) mask.push_back(id == pad ? 0 : 1);
  return mask;
}

void pad_right(std::vector<std::vector<std::int32_t>>& rows, std::int32_t pad) {
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  for (auto& row : rows) row.resize(longest, pad);
}

}  // namespace

BatchGeneration generate_batch(LoadedModel& loaded, const BatchInputs& inputs,
                               const GenerationConfig& call, const std::stop_token& stop) {
  const ResolvedGeneration resolved = resolve_generation_config(
      loaded.generation_config(), call,
      {.num_tokens = inputs.sequence_length,
       .max_position_embeddings = loaded.config().max_position_embeddings});
  const auto mask = inputs.attention_mask.empty()
                        ? infer_mask(inputs, loaded.generation_config(), call)
                        : inputs.attention_mask;
  const auto copies = resolved.config.num_return_sequences.value_or(1);
  const std::int64_t num_rows = inputs.batch_size * copies;
  constexpr std::int64_t kMaxSeqs = 64;
  constexpr std::int32_t kBlockSize = 32;
  const std::int64_t row_blocks =
      SequenceBlocks::blocks_for(*resolved.config.max_length, kBlockSize);
  Engine engine(loaded.model(),
                {.max_seqs = kMaxSeqs,
                 .kv_cache = {.num_tokens = std::min(num_rows, kMaxSeqs) * row_blocks * kBlockSize,
                              .block_size = kBlockSize},
                 .num_valid_tokens = loaded.num_valid_tokens()});

  BatchGeneration result = {.warnings = resolved.warnings};
  const std::uint64_t seed = resolved.config.seed
                                 ? static_cast<std::uint64_t>(*resolved.config.seed)
                                 : std::random_device()();
  std::map<RequestId, std::size_t> row_of_request;
  for (std::int64_t row = 0; row < num_rows; ++row) {
    EngineRequest request = {.prompt_ids = row_of(inputs.input_ids, inputs, row / copies),
                             .prompt_mask = row_of(mask, inputs, row / copies),
                             .position_ids = row_of(inputs.position_ids, inputs, row / copies),
                             .config = resolved.config,
                             .seed = seed,
                             .stream = static_cast<std::uint32_t>(row)};
    request.config.num_return_sequences = 1;
    result.sequences.push_back(request.prompt_ids);
    row_of_request[engine.submit(std::move(request))] = result.sequences.size() - 1;
  }
  while (!engine.idle()) {
    M2_REQUIRE(ErrorCode::kCancelled, !stop.stop_requested(), "generation was cancelled");
    for (const TokenEvent& event : engine.step()) {
      M2_REQUIRE(ErrorCode::kInvalidArgument, event.error.empty(), event.error);
      if (event.token) result.sequences[row_of_request.at(event.request)].push_back(*event.token);
    }
  }
  pad_right(result.sequences, resolved.config.pad_token_id.value_or(0));
  return result;
}

}  // namespace m2
