// WeightLoader: the experts, which lie in files one by one, stacked, or stacked and fused.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/weight_loader.h"

namespace m2 {
namespace {

std::string number_list(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kMaxShown = 16;
  std::string text = "{";
  for (std::size_t i = 0; i < std::min(numbers.size(), kMaxShown); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(numbers[i]);
  }
  if (numbers.size() > kMaxShown) {
    text += ", and " + std::to_string(numbers.size() - kMaxShown) + " more";
  }
  return text + "}";
}

}  // namespace

void WeightLoader::refuse_both_forms(std::int64_t layer, std::size_t which) const {
  const auto& single = expert_slots(layer, which);
  const std::array parts = {fused_part(expert_part(which)), stacked_part(expert_part(which))};
  for (const Part part : parts) {
    const Slot& stack = layer_slot(layer, part);
    const TensorName name = tensor_name({part, layer});
    M2_REQUIRE(ErrorCode::kCorruptFile, stack.weight != nullptr || stack.scale == nullptr,
               "checkpoint: the scales ", name.both(kScaleSuffix), " have no weight ", name.both());
    if (stack.weight == nullptr || single.empty()) continue;
    fail(ErrorCode::kCorruptFile, "checkpoint: ", stack.weight->name, " and ",
         tensor_name({expert_part(which), layer, single.front().expert}).both(),
         " are the same tensor of the model");
  }
  const Slot& first = layer_slot(layer, parts[0]);
  const Slot& second = layer_slot(layer, parts[1]);
  const bool both = parts[0] != parts[1] && first.weight != nullptr && second.weight != nullptr;
  M2_REQUIRE(ErrorCode::kCorruptFile, !both, "checkpoint: ", first.weight->name, " and ",
             second.weight->name, " are the same tensor of the model");
}

bool WeightLoader::is_stacked(std::int64_t layer, std::size_t which) const {
  return layer_slot(layer, stacked_part(expert_part(which))).weight != nullptr;
}

std::vector<WeightView> WeightLoader::load_expert_part(std::int64_t layer, std::size_t which) {
  if (!is_stacked(layer, which)) return single_experts(layer, which);
  return fused_experts(layer, stacked_part(expert_part(which)), 1);
}

void WeightLoader::load_experts(std::int64_t layer, LayerWeights& weights) {
  for (const std::size_t which : {kGate, kUp, kDown}) refuse_both_forms(layer, which);
  std::vector<WeightView> gate;
  std::vector<WeightView> up;
  if (layer_slot(layer, Part::kFusedGateUp).weight != nullptr) {
    const auto both = fused_experts(layer, Part::kFusedGateUp, 2);
    for (std::size_t i = 0; i < both.size(); ++i) (i % 2 == 0 ? gate : up).push_back(both[i]);
  } else {
    const bool stacked = is_stacked(layer, kGate) && is_stacked(layer, kUp);
    if (!stacked) report_experts(layer, Part::kFusedGateUp, {kGate, kUp});
    gate = load_expert_part(layer, kGate);
    up = load_expert_part(layer, kUp);
  }
  if (!is_stacked(layer, kDown)) report_experts(layer, Part::kFusedDown, {kDown});
  const auto down = load_expert_part(layer, kDown);
  if (gate.empty() || up.empty() || down.empty()) return;
  weights.experts.resize(static_cast<std::size_t>(config_.num_local_experts));
  for (std::size_t e = 0; e < weights.experts.size(); ++e) {
    weights.experts[e] = {gate[e], up[e], down[e]};
  }
}

std::vector<WeightView> WeightLoader::initial_experts(std::int64_t layer, std::size_t which) {
  const auto [rows, cols] = expert_size(which);
  std::vector<WeightView> views;
  for (std::int64_t e = 0; e < config_.num_local_experts; ++e) {
    views.push_back(
        views_.initial_matrix(found({expert_part(which), layer, e}, Slot()), rows, cols));
  }
  return views;
}

// In the order of the file: `parts` matrices of each expert.
std::vector<WeightView> WeightLoader::fused_experts(std::int64_t layer, Part part,
                                                    std::int64_t parts) {
  const std::size_t first = part == Part::kFusedDown   ? kDown
                            : part == Part::kStackedUp ? kUp
                                                       : kGate;
  const auto [rows, cols] = expert_size(first);
  auto views = views_.stack(found_layer(layer, part),
                            {config_.num_local_experts, parts * rows, cols}, parts);
  if (!views.empty() || !options_.initialize_mismatched) return views;
  std::vector<std::vector<WeightView>> made;
  for (std::int64_t i = 0; i < parts; ++i) {
    made.push_back(initial_experts(layer, first + static_cast<std::size_t>(i)));
  }
  for (std::size_t e = 0; e < made.front().size(); ++e) {
    for (const auto& matrices : made) views.push_back(matrices[e]);
  }
  return views;
}

bool WeightLoader::experts_fit(std::int64_t layer, std::size_t which) {
  const Shape shape{expert_size(which).rows, expert_size(which).cols};
  return std::ranges::all_of(expert_slots(layer, which), [&](const ExpertSlot& expert) {
    return expert.slot.weight == nullptr || expert.slot.weight->shape == shape;
  });
}

std::vector<WeightView> WeightLoader::single_experts(std::int64_t layer, std::size_t which) {
  const auto [rows, cols] = expert_size(which);
  const bool none = expert_slots(layer, which).empty();
  const bool complete = check_expert_set(layer, which);
  if (none ? options_.initialize_missing : options_.initialize_mismatched) {
    if (!complete || !experts_fit(layer, which)) return initial_experts(layer, which);
  }
  std::vector<WeightView> views;
  if (!complete) return views;
  for (const auto& [expert, slot] : expert_slots(layer, which)) {
    views.push_back(views_.matrix(found({expert_part(which), layer, expert}, slot), rows, cols));
  }
  return views;
}

// True when the experts are exactly 0 .. E-1; otherwise the difference is in the report.
bool WeightLoader::check_expert_set(std::int64_t layer, std::size_t which) {
  const auto& slots = expert_slots(layer, which);
  const std::int64_t count = config_.num_local_experts;
  const auto [rows, cols] = expert_size(which);
  const auto list_name = [&](const std::vector<std::int64_t>& numbers) {
    return expert_list_name(expert_part(which), layer, number_list(numbers)).both();
  };
  std::vector<std::int64_t> missing;
  auto next = slots.begin();
  for (std::int64_t expert = 0; expert < count; ++expert) {
    if (next != slots.end() && next->expert == expert) {
      ++next;
    } else {
      missing.push_back(expert);
    }
  }
  if (!missing.empty()) report_.missing.push_back(list_name(missing));
  if (next == slots.end()) return missing.empty();
  std::vector<std::int64_t> surplus;
  for (; next != slots.end(); ++next) surplus.push_back(next->expert);
  report_.mismatched.push_back(
      {list_name(surplus), {std::ssize(slots), rows, cols}, {count, rows, cols}});
  return false;
}

// What the reference says of experts: they are stacked in the order of their numbers, w1 and w3
// beside each other, and the stack fits or does not.
void WeightLoader::report_experts(std::int64_t layer, Part fused, std::vector<std::size_t> parts) {
  const std::string name = tensor_name({fused, layer}).internal;
  const auto& first = expert_slots(layer, parts.front());
  bool none = true;
  bool stacks = !first.empty();
  const Shape shape =
      stacks && first.front().slot.weight != nullptr ? first.front().slot.weight->shape : Shape();
  for (const std::size_t which : parts) {
    const auto& slots = expert_slots(layer, which);
    none = none && slots.empty();
    stacks = stacks && slots.size() == first.size() && shape.rank() == 2;
    for (const ExpertSlot& slot : slots) {
      stacks = stacks && slot.slot.weight != nullptr && slot.slot.weight->shape == shape;
    }
  }
  if (none) {
    report_.missing_keys.push_back(name);
    return;
  }
  if (!stacks) {
    report_.error_msgs.push_back(name + " cannot be made of the experts in the file");
    return;
  }
  const auto factor = std::ssize(parts);
  const auto [rows, cols] = expert_size(parts.front());
  const Shape file_shape{std::ssize(first), factor * shape[0], shape[1]};
  const Shape model_shape{config_.num_local_experts, factor * rows, cols};
  if (file_shape != model_shape) report_.mismatched_keys.push_back({name, file_shape, model_shape});
}

}  // namespace m2
