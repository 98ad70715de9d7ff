#include "model/device_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <string_view>

#include "base/error.h"
#include "model/inspect.h"
#include "ops/placed_format.h"

namespace m2 {
namespace {

constexpr const char* kMlp = ".mlp";
constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 4 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::int64_t total_bytes(const std::vector<ModuleSize>& modules) {
  return std::accumulate(modules.begin(), modules.end(), std::int64_t{0},
                         [](std::int64_t sum, const ModuleSize& module) {
                           return sum + module.bytes + module.widened;
                         });
}

bool is_gpu(const std::string& device) { return device.starts_with("cuda:"); }

std::int64_t bytes_on(const std::string& device, const ModuleSize& module) {
  return module.bytes + (is_gpu(device) ? module.widened : 0);
}

std::string gigabytes(std::int64_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text.data();
}

// "cuda" and "0" mean GPUs by their number.
std::string canonical_device(const std::string& name) {
  if (name == "cuda") return "cuda:0";
  return is_number(name) ? "cuda:" + name : name;
}

void require_device(const std::string& device, const DeviceInventory& inventory) {
  if (device == "cpu" || device == "disk") return;
  const bool numbered =
      device.starts_with("cuda:") && is_number(std::string_view(device).substr(5));
  M2_REQUIRE(
      ErrorCode::kInvalidArgument, numbered, "device_map: \"", device,
      "\" is no device; expected \"auto\", \"balanced\", \"balanced_low_0\", \"sequential\", "
      "\"cpu\", \"cuda\", \"cuda:N\" or, for a module, \"disk\"");
  std::string present = "\"cpu\"";
  for (const DeviceMemory& gpu : inventory.gpus) {
    if (gpu.name == device) return;
    present += ", \"" + gpu.name + "\"";
  }
  fail(ErrorCode::kUnsupported, "device \"", device, "\" is not available here; there is ",
       present);
}

// Devices in the order in which they are filled, with the bytes they may take.
struct Budget {
  std::string device;
  std::int64_t bytes = 0;
};

std::int64_t usable(const DeviceMap& map, const std::string& device, std::int64_t free_bytes) {
  const auto given = map.max_memory.find(device);
  return given != map.max_memory.end() ? given->second : free_bytes / 10 * 9;
}

void check_max_memory(const DeviceMap& map, const DeviceInventory& inventory) {
  for (const auto& [device, bytes] : map.max_memory) {
    require_device(device, inventory);
    M2_REQUIRE(ErrorCode::kInvalidArgument, bytes >= 0, "max_memory: ", device,
               ": expected bytes, got ", bytes);
  }
}

// Lowers what all but the last GPU may take so that they are filled alike.
void balance(std::vector<Budget>& gpus, const std::vector<ModuleSize>& modules, bool low_zero) {
  if (gpus.size() < 2) return;
  const std::int64_t total = total_bytes(modules);
  const auto largest = std::ranges::max_element(modules, {}, &ModuleSize::bytes)->bytes;
  const std::int64_t sharing = std::ssize(gpus) - (low_zero ? 1 : 0);
  const std::int64_t share = total / sharing + largest / 4 * 5;
  for (std::size_t i = 0; i + 1 < gpus.size(); ++i) gpus[i].bytes = std::min(gpus[i].bytes, share);
  if (!low_zero) return;
  std::int64_t others = 0;
  for (std::size_t i = 1; i < gpus.size(); ++i) others += gpus[i].bytes;
  gpus[0].bytes = std::min(gpus[0].bytes, std::max<std::int64_t>(0, total - others));
}

std::vector<Budget> budgets(const std::vector<ModuleSize>& modules, const DeviceMap& map,
                            const DeviceInventory& inventory) {
  std::vector<Budget> result;
  for (const DeviceMemory& gpu : inventory.gpus) {
    const std::int64_t bytes = usable(map, gpu.name, gpu.free_bytes);
    if (bytes > 0) result.push_back({gpu.name, bytes});
  }
  if (map.policy != "sequential") balance(result, modules, map.policy == "balanced_low_0");
  const bool known = inventory.host_bytes > 0 || map.max_memory.contains("cpu");
  result.push_back({"cpu", known ? usable(map, "cpu", inventory.host_bytes) : kUnlimited});
  result.push_back({"disk", kUnlimited});
  return result;
}

void fill(const std::vector<ModuleSize>& modules, const std::vector<Budget>& devices, bool tied,
          DevicePlan& plan) {
  std::size_t current = 0;
  std::int64_t used = 0;
  for (const ModuleSize& module : modules) {
    if (tied && module.name == "lm_head") {
      plan.devices[module.name] = plan.devices.at("model.embed_tokens");
      continue;
    }
    while (used + bytes_on(devices[current].device, module) > devices[current].bytes) {
      ++current;
      used = 0;
    }
    used += bytes_on(devices[current].device, module);
    plan.devices[module.name] = devices[current].device;
  }
}

// True when `key` is `module` or a module that holds it; "" holds all.
bool holds(const std::string& key, const std::string& module) {
  return key.empty() || key == module || (module.starts_with(key) && module[key.size()] == '.');
}

void check_module_name(const std::string& key, const std::vector<ModuleSize>& modules) {
  if (key == "model.norm" || key == "model.rotary_emb") return;
  for (const ModuleSize& module : modules) {
    if (holds(key, module.name) || (module.mlp_bytes > 0 && key == module.name + kMlp)) return;
    M2_REQUIRE(ErrorCode::kUnsupported, !holds(module.name, key), "device_map: ", key, ": ",
               module.name, " is placed as a whole, but for its mlp");
  }
  fail(ErrorCode::kInvalidArgument, "device_map: the model has no module \"", key, "\"");
}

void place_by_name(const std::vector<ModuleSize>& modules, const DeviceMap& map,
                   const DeviceInventory& inventory, DevicePlan& plan) {
  for (const auto& [key, device] : map.modules) {
    check_module_name(key, modules);
    require_device(canonical_device(device), inventory);
  }
  for (const ModuleSize& module : modules) {
    const std::string* best = nullptr;
    for (const auto& [key, device] : map.modules) {
      if (holds(key, module.name) && (best == nullptr || key.size() >= best->size())) best = &key;
    }
    M2_REQUIRE(ErrorCode::kInvalidArgument, best != nullptr, "device_map: no device is given for ",
               module.name);
    plan.devices[module.name] = canonical_device(map.modules.at(*best));
    const auto mlp = map.modules.find(module.name + kMlp);
    if (mlp != map.modules.end()) plan.devices[mlp->first] = canonical_device(mlp->second);
  }
}

// "model.layers.0 - model.layers.18" for consecutive modules.
std::string module_range(const ModuleSize& first, const ModuleSize& last) {
  return first.name == last.name ? first.name : first.name + " - " + last.name;
}

// With the layers whose mlp has a device of its own as two modules.
std::vector<ModuleSize> split_modules(const std::vector<ModuleSize>& modules,
                                      const DevicePlan& plan) {
  std::vector<ModuleSize> result;
  for (const ModuleSize& module : modules) {
    result.push_back(module);
    if (!plan.devices.contains(module.name + kMlp)) continue;
    result.back().bytes -= module.mlp_bytes;
    result.back().widened -= module.mlp_widened;
    result.push_back(
        {.name = module.name + kMlp, .bytes = module.mlp_bytes, .widened = module.mlp_widened});
  }
  return result;
}

void write_report(const std::vector<ModuleSize>& modules, DevicePlan& plan) {
  for (std::size_t begin = 0; begin < modules.size();) {
    const std::string& device = plan.devices.at(modules[begin].name);
    std::size_t end = begin;
    std::int64_t bytes = 0;
    for (; end < modules.size() && plan.devices.at(modules[end].name) == device; ++end) {
      bytes += bytes_on(device, modules[end]);
    }
    plan.bytes[device] += bytes;
    plan.report += device + ": " + module_range(modules[begin], modules[end - 1]) + " (" +
                   gigabytes(bytes) + (device == "disk" ? ", read from the files when used" : "") +
                   ")\n";
    begin = end;
  }
}

void check_room(const DevicePlan& plan, const DeviceInventory& inventory) {
  for (const DeviceMemory& gpu : inventory.gpus) {
    const auto bytes = plan.bytes.find(gpu.name);
    M2_REQUIRE(ErrorCode::kResourceExhausted,
               bytes == plan.bytes.end() || bytes->second <= gpu.free_bytes, "device \"", gpu.name,
               "\": the weights take ", gigabytes(bytes->second), " there and ",
               gigabytes(gpu.free_bytes),
               " are free; leave experts to the processor (--n-cpu-moe), spread the model "
               "(device_map \"auto\") or write it in 4 bits (m2 quantize); what a GPU does not "
               "multiply as it is stored, like the K-quants of GGUF files, becomes BF16 there");
  }
}

// The sizes of a module's matrices.
struct MatrixBytes {
  std::int64_t stored = 0;
  std::int64_t widened = 0;

  void add(const WeightView& weight, MatrixUse use) {
    stored += weight.num_bytes();
    const bool in_blocks = weight.block_format != BlockFormat::kNone;
    if (in_blocks && placed_format(weight, use) == BlockFormat::kNone) {
      widened += std::max<std::int64_t>(0, 2 * weight.rows * weight.cols - weight.num_bytes());
    }
  }
};

MatrixBytes dense_bytes(std::initializer_list<const WeightView*> weights) {
  MatrixBytes bytes;
  for (const WeightView* weight : weights) bytes.add(*weight, MatrixUse::kProduct);
  return bytes;
}

}  // namespace

const std::string& DevicePlan::device_of(const std::string& module) const {
  auto found = devices.find(module);
  if (found == devices.end() && module.ends_with(kMlp)) {
    found = devices.find(module.substr(0, module.size() - std::string_view(kMlp).size()));
  }
  M2_CHECK(found != devices.end(), "no device for ", module);
  return found->second;
}

DevicePlan plan_devices(const std::vector<ModuleSize>& modules, const DeviceMap& map,
                        const DeviceInventory& inventory, bool tied) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, map.policy.empty() || map.modules.empty(),
             "device_map: a policy and modules exclude each other");
  check_max_memory(map, inventory);
  DevicePlan plan;
  const bool by_budget = map.policy == "auto" || map.policy == "balanced" ||
                         map.policy == "balanced_low_0" || map.policy == "sequential";
  if (!map.modules.empty()) {
    place_by_name(modules, map, inventory, plan);
  } else if (by_budget) {
    fill(modules, budgets(modules, map, inventory), tied, plan);
  } else {
    const std::string device = map.policy.empty() ? "cpu" : canonical_device(map.policy);
    M2_REQUIRE(ErrorCode::kInvalidArgument, device != "disk",
               "device_map: only single modules may stay on disk");
    require_device(device, inventory);
    for (const ModuleSize& module : modules) plan.devices[module.name] = device;
  }
  write_report(split_modules(modules, plan), plan);
  if (!by_budget) check_room(plan, inventory);
  plan.devices["model.norm"] = plan.devices.at("lm_head");
  return plan;
}

std::vector<ModuleSize> module_sizes(const ModelWeights& weights) {
  const auto vector_bytes = [](const TensorView& view) {
    return static_cast<std::int64_t>(view.num_bytes());
  };
  const MatrixBytes embedding = dense_bytes({&weights.embed_tokens});
  std::vector<ModuleSize> modules = {
      {.name = "model.embed_tokens", .bytes = embedding.stored, .widened = embedding.widened}};
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    MatrixBytes mlp = dense_bytes({&layer.gate});
    mlp.stored += vector_bytes(layer.post_attention_norm) + vector_bytes(layer.correction_bias);
    for (const ExpertWeights& expert : layer.experts) {
      for (const auto* matrix : {&expert.gate, &expert.up, &expert.down}) {
        mlp.add(*matrix, MatrixUse::kExpert);
      }
    }
    MatrixBytes all = dense_bytes({&layer.q, &layer.k, &layer.v, &layer.attn_out});
    for (const auto* vector : {&layer.input_norm, &layer.q_norm, &layer.k_norm}) {
      all.stored += vector_bytes(*vector);
    }
    modules.push_back({"model.layers." + std::to_string(i), all.stored + mlp.stored, mlp.stored,
                       all.widened + mlp.widened, mlp.widened});
  }
  const bool own_head = weights.lm_head.data != weights.embed_tokens.data;
  const MatrixBytes head = own_head ? dense_bytes({&weights.lm_head}) : MatrixBytes{};
  modules.push_back({.name = "lm_head",
                     .bytes = vector_bytes(weights.norm) + head.stored,
                     .widened = head.widened});
  return modules;
}

std::vector<ModuleSize> module_sizes(const MiniMaxM2Config& config, DType dtype) {
  const ComponentSizes sizes = estimate_bytes(config, dtype);
  const std::int64_t in_layers = sizes.total() - sizes.embedding - sizes.lm_head;
  const std::int64_t in_mlps = sizes.experts + sizes.router + sizes.correction_bias;
  const std::int64_t count = config.num_hidden_layers;
  std::vector<ModuleSize> modules = {{"model.embed_tokens", sizes.embedding}};
  for (std::int64_t i = 0; i < count; ++i) {
    modules.push_back({"model.layers." + std::to_string(i), in_layers / count, in_mlps / count});
  }
  modules.push_back({"lm_head", sizes.lm_head});
  return modules;
}

}  // namespace m2
