// How load_weights works: every tensor is placed by its name, then the model is put together.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/load_report.h"
#include "model/weight_names.h"
#include "model/weight_views.h"
#include "model/weights.h"

namespace m2 {

// Where tensors were found. Experts are lists, so that the memory follows the file's tensors and
// not what a config claims.
struct Slot {
  const CheckpointTensor* weight = nullptr;
  const CheckpointTensor* scale = nullptr;
};

struct ExpertSlot {
  std::int64_t expert = 0;
  Slot slot;
};

struct LayerSlots {
  std::array<Slot, kNumLayerParts> parts;
  std::array<std::vector<ExpertSlot>, kNumExpertParts> experts;
};

class WeightLoader {
 public:
  WeightLoader(const MiniMaxM2Config& config, const Checkpoint& checkpoint,
               const WeightLoadOptions& options, LoadReport& report)
      : config_(config),
        checkpoint_(checkpoint),
        options_(options),
        report_(report),
        views_(config, options, report),
        layers_(static_cast<std::size_t>(config.num_hidden_layers)) {}

  ModelWeights load(const LoadProgress& progress);

 private:
  struct ExpertSize {
    std::int64_t rows;
    std::int64_t cols;
  };

  static constexpr std::size_t kGate = 0;  // of kNumExpertParts
  static constexpr std::size_t kUp = 1;
  static constexpr std::size_t kDown = 2;

  void place_all();
  bool place(const CheckpointTensor& tensor);
  Slot* slot_of(const Place& place);
  Slot& expert_slot(std::vector<ExpertSlot>& slots, std::int64_t expert);

  void load_embeddings(ModelWeights& weights);
  LayerWeights load_layer(std::int64_t layer);
  void load_experts(std::int64_t layer, LayerWeights& weights);
  std::vector<WeightView> fused_experts(std::int64_t layer, Part part, std::int64_t parts);
  [[nodiscard]] bool is_stacked(std::int64_t layer, std::size_t which) const;
  std::vector<WeightView> load_expert_part(std::int64_t layer, std::size_t which);
  std::vector<WeightView> single_experts(std::int64_t layer, std::size_t which);
  std::vector<WeightView> initial_experts(std::int64_t layer, std::size_t which);
  bool check_expert_set(std::int64_t layer, std::size_t which);
  bool experts_fit(std::int64_t layer, std::size_t which);
  void report_experts(std::int64_t layer, Part fused, std::vector<std::size_t> parts);
  void refuse_both_forms(std::int64_t layer, std::size_t which) const;

  [[nodiscard]] FoundTensor found(const Place& place, const Slot& slot) const {
    return {tensor_name(place), place.part, slot.weight, slot.scale};
  }
  [[nodiscard]] FoundTensor found_model(Part part) const {
    return found({part}, model_[static_cast<std::size_t>(part)]);
  }
  [[nodiscard]] const Slot& layer_slot(std::int64_t layer, Part part) const {
    return layers_[static_cast<std::size_t>(layer)].parts[layer_index(part)];
  }
  [[nodiscard]] FoundTensor found_layer(std::int64_t layer, Part part) const {
    return found({part, layer}, layer_slot(layer, part));
  }
  [[nodiscard]] const std::vector<ExpertSlot>& expert_slots(std::int64_t layer,
                                                            std::size_t which) const {
    return layers_[static_cast<std::size_t>(layer)].experts[which];
  }
  [[nodiscard]] ExpertSize expert_size(std::size_t which) const {
    return which == kDown ? ExpertSize{config_.hidden_size, config_.intermediate_size}
                          : ExpertSize{config_.intermediate_size, config_.hidden_size};
  }

  const MiniMaxM2Config& config_;
  const Checkpoint& checkpoint_;
  const WeightLoadOptions& options_;
  LoadReport& report_;
  WeightViews views_;
  std::array<Slot, kNumModelParts> model_;
  std::vector<LayerSlots> layers_;
};

}  // namespace m2
