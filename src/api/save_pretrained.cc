#include <utility>

#include "api/model_impl.h"
#include "base/byte_size.h"
#include "m2/modeling.h"
#include "model/save_weights.h"

namespace m2 {
namespace {

// As the reference: config.json, then what may be refused as doubtful, then the weights.
void save(const MiniMaxM2Model::Impl& impl, const std::filesystem::path& directory,
          const SavePretrainedOptions& options, bool head) {
  SaveWeightsOptions weights;
  weights.max_shard_bytes = parse_byte_size(options.max_shard_size, "max_shard_size");
  weights.variant = options.variant;
  weights.hub_names = options.save_original_format;
  weights.head = head;
  MiniMaxM2Config config = std::as_const(*impl.causal_lm).config();
  config.architectures = {head ? "MiniMaxM2ForCausalLM" : "MiniMaxM2Model"};
  config.save_pretrained(directory);
  if (head) impl.generation_config.save_pretrained(directory);
  save_weights(config, *impl.host_weights, directory, weights);
}

}  // namespace

void MiniMaxM2Model::save_pretrained(const std::filesystem::path& directory,
                                     const SavePretrainedOptions& options) const {
  save(*impl_, directory, options, /*head=*/false);
}

void MiniMaxM2ForCausalLM::save_pretrained(const std::filesystem::path& directory,
                                           const SavePretrainedOptions& options) const {
  save(*impl_, directory, options, /*head=*/true);
}

}  // namespace m2
