#include "model/device_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/file_images.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr std::int64_t kGb = 1'000'000'000;

std::vector<ModuleSize> ten_layers() {
  std::vector<ModuleSize> modules = {{"model.embed_tokens", 5}};
  for (int i = 0; i < 10; ++i) modules.push_back({"model.layers." + std::to_string(i), 10});
  modules.push_back({"lm_head", 5});
  return modules;
}

// Counts of modules on each device, in the order of the names.
std::map<std::string, int> counts(const DevicePlan& plan) {
  std::map<std::string, int> result;
  for (const auto& [module, device] : plan.devices) result[device] += module != "model.norm";
  return result;
}

DeviceInventory gpus(std::vector<std::int64_t> free, std::int64_t host) {
  DeviceInventory inventory;
  inventory.host_bytes = host;
  for (const auto bytes : free) {
    inventory.gpus.push_back({"cuda:" + std::to_string(inventory.gpus.size()), bytes});
  }
  return inventory;
}

struct Case {
  std::string policy;
  std::vector<std::int64_t> gpus;
  std::int64_t host;
  std::map<std::string, int> expected;
};

TEST(DevicePlan, FillsGpusThenHostThenDisk) {
  const std::vector<Case> cases = {
      {"", {}, 1000, {{"cpu", 12}}},
      {"cpu", {500}, 10, {{"cpu", 12}}},
      {"cuda", {500}, 10, {{"cuda:0", 12}}},
      {"cuda:1", {500, 500}, 10, {{"cuda:1", 12}}},
      {"auto", {}, 1000, {{"cpu", 12}}},
      {"auto", {}, 0, {{"cpu", 12}}},
      {"auto", {}, 50, {{"cpu", 5}, {"disk", 7}}},
      {"auto", {500}, 1000, {{"cuda:0", 12}}},
      {"auto", {50}, 1000, {{"cpu", 7}, {"cuda:0", 5}}},
      {"auto", {50}, 50, {{"cpu", 4}, {"cuda:0", 5}, {"disk", 3}}},
      {"auto", {500, 500}, 1000, {{"cuda:0", 7}, {"cuda:1", 5}}},
      {"balanced", {500, 500, 500}, 1000, {{"cuda:0", 5}, {"cuda:1", 4}, {"cuda:2", 3}}},
      {"balanced", {20, 500}, 1000, {{"cuda:0", 2}, {"cuda:1", 10}}},
      {"sequential", {60, 500}, 1000, {{"cuda:0", 5}, {"cuda:1", 7}}},
      {"sequential", {500, 500}, 1000, {{"cuda:0", 12}}},
      {"balanced_low_0", {500, 500}, 1000, {{"cuda:1", 12}}},
      {"balanced_low_0", {500, 500, 500}, 1000, {{"cuda:1", 7}, {"cuda:2", 5}}},
  };
  for (const Case& item : cases) {
    const DevicePlan plan =
        plan_devices(ten_layers(), item.policy, gpus(item.gpus, item.host), /*tied=*/false);
    EXPECT_EQ(counts(plan), item.expected) << item.policy << "\n" << plan.report;
    EXPECT_EQ(plan.device_of("model.norm"), plan.device_of("lm_head"));
  }
}

TEST(DevicePlan, MaxMemoryReplacesWhatIsFree) {
  DeviceMap map("auto");
  map.max_memory = {{"cuda:0", 25}, {"cpu", 30}};
  const DevicePlan plan = plan_devices(ten_layers(), map, gpus({1000}, 1000), false);
  EXPECT_THAT(counts(plan), ElementsAre(Pair("cpu", 3), Pair("cuda:0", 3), Pair("disk", 6)));
  EXPECT_EQ(plan.report,
            "cuda:0: model.embed_tokens - model.layers.1 (0.00 GB)\n"
            "cpu: model.layers.2 - model.layers.4 (0.00 GB)\n"
            "disk: model.layers.5 - lm_head (0.00 GB, read from the files when used)\n");
  map.max_memory = {{"cuda:0", 0}};
  EXPECT_THAT(counts(plan_devices(ten_layers(), map, gpus({1000}, 1000), false)),
              ElementsAre(Pair("cpu", 12)));
}

TEST(DevicePlan, ATiedHeadStaysWithTheEmbedding) {
  const DevicePlan plan = plan_devices(ten_layers(), "auto", gpus({50}, 1000), /*tied=*/true);
  EXPECT_EQ(plan.device_of("lm_head"), "cuda:0");
  EXPECT_EQ(plan.device_of("model.layers.9"), "cpu");
}

TEST(DevicePlan, ModulesByName) {
  DeviceMap map;
  map.modules = {
      {"", "cpu"}, {"model.layers.1", "cuda"}, {"model.layers.2", "disk"}, {"lm_head", "0"}};
  const DevicePlan plan = plan_devices(ten_layers(), map, gpus({100}, 1), false);
  EXPECT_EQ(plan.device_of("model.embed_tokens"), "cpu");
  EXPECT_EQ(plan.device_of("model.layers.1"), "cuda:0");
  EXPECT_EQ(plan.device_of("model.layers.2"), "disk");
  EXPECT_EQ(plan.device_of("model.layers.3"), "cpu");
  EXPECT_EQ(plan.device_of("lm_head"), "cuda:0");
  EXPECT_EQ(plan.device_of("model.norm"), "cuda:0");
}

TEST(DevicePlan, ExpertsMayLieElsewhere) {
  auto modules = ten_layers();
  for (ModuleSize& module : modules) {
    if (module.name.starts_with("model.layers.")) module.mlp_bytes = 8;
  }
  DeviceMap map;
  map.modules = {{"", "cuda"}, {"model.layers.0.mlp", "cpu"}, {"model.layers.2.mlp", "disk"}};
  const DevicePlan plan = plan_devices(modules, map, gpus({500}, 1000), false);
  EXPECT_EQ(plan.device_of("model.layers.0"), "cuda:0");
  EXPECT_EQ(plan.device_of("model.layers.0.mlp"), "cpu");
  EXPECT_EQ(plan.device_of("model.layers.1.mlp"), "cuda:0");
  EXPECT_EQ(plan.device_of("model.layers.2.mlp"), "disk");
  EXPECT_THAT(plan.bytes, ElementsAre(Pair("cpu", 8), Pair("cuda:0", 110 - 16), Pair("disk", 8)));
  EXPECT_THAT(plan.report, StartsWith("cuda:0: model.embed_tokens - model.layers.0 (0.00 GB)\n"
                                      "cpu: model.layers.0.mlp (0.00 GB)\n"));
}

// What a GPU stores as BF16 counts there, and only there.
TEST(DevicePlan, WidenedWeights) {
  auto modules = ten_layers();
  for (ModuleSize& module : modules) {
    if (!module.name.starts_with("model.layers.")) continue;
    module.mlp_bytes = 8;
    module.widened = 25;
    module.mlp_widened = 24;
  }
  DeviceMap map;
  map.modules = {{"", "cuda"}, {"model.layers.0.mlp", "cpu"}};
  const DevicePlan plan = plan_devices(modules, map, gpus({500}, 1000), false);
  EXPECT_THAT(plan.bytes, ElementsAre(Pair("cpu", 8), Pair("cuda:0", 110 - 8 + 250 - 24)));
  EXPECT_THAT(counts(plan_devices(modules, "auto", gpus({200}, 1000), false)),
              ElementsAre(Pair("cpu", 6), Pair("cuda:0", 6)));
  const std::string error =
      error_of([&] { plan_devices(modules, "cuda", gpus({350}, 1000), false); });
  EXPECT_THAT(error, StartsWith("resource_exhausted: device \"cuda:0\": the weights take"));
  EXPECT_THAT(error, HasSubstr("--n-cpu-moe"));
}

TEST(DevicePlan, Errors) {
  const auto error = [](const DeviceMap& map) {
    return error_of([&] { plan_devices(ten_layers(), map, gpus({}, 1), false); });
  };
  const auto modules = [&](std::map<std::string, std::string> names) {
    DeviceMap map;
    map.modules = std::move(names);
    return error(map);
  };
  EXPECT_EQ(error("cuda"),
            "unsupported: device \"cuda:0\" is not available here; there is \"cpu\"");
  EXPECT_THAT(error("cuda:7"), StartsWith("unsupported: device \"cuda:7\""));
  EXPECT_THAT(error("best"), StartsWith("invalid_argument: device_map: \"best\" is no device"));
  EXPECT_THAT(error("-1"), StartsWith("invalid_argument: device_map: \"-1\" is no device"));
  EXPECT_THAT(error("disk"), HasSubstr("only single modules may stay on disk"));
  EXPECT_THAT(modules({{"model", "cpu"}}), HasSubstr("no device is given for lm_head"));
  EXPECT_THAT(modules({{"", "cpu"}, {"model.layers.10", "cpu"}}),
              HasSubstr("no module \"model.layers.10\""));
  EXPECT_THAT(modules({{"", "cpu"}, {"model.layers.1.mlp", "cpu"}}),
              HasSubstr("model.layers.1 is placed as a whole"));
  EXPECT_THAT(modules({{"", "tpu"}}), HasSubstr("\"tpu\" is no device"));
  DeviceMap both("auto");
  both.modules = {{"", "cpu"}};
  EXPECT_THAT(error(both), HasSubstr("exclude each other"));
  DeviceMap memory("auto");
  memory.max_memory = {{"cpu", -1}};
  EXPECT_THAT(error(memory), HasSubstr("max_memory: cpu"));
}

TEST(DevicePlan, FullSize) {
  const MiniMaxM2Config config;
  const auto modules = module_sizes(config, DType::kF8E4M3);
  ASSERT_EQ(modules.size(), 64U);
  const auto of = [&](std::vector<std::int64_t> free, std::int64_t host) {
    return counts(plan_devices(modules, "auto", gpus(std::move(free), host), false));
  };
  EXPECT_THAT(of({80 * kGb}, 128 * kGb),
              ElementsAre(Pair("cpu", 31), Pair("cuda:0", 20), Pair("disk", 13)));
  EXPECT_THAT(of({141 * kGb, 141 * kGb}, 128 * kGb),
              ElementsAre(Pair("cuda:0", 33), Pair("cuda:1", 31)));
  EXPECT_THAT(of({}, 24 * kGb), ElementsAre(Pair("cpu", 6), Pair("disk", 58)));
  EXPECT_THAT(
      of({80 * kGb, 80 * kGb, 80 * kGb, 80 * kGb}, 128 * kGb),
      ElementsAre(Pair("cuda:0", 17), Pair("cuda:1", 16), Pair("cuda:2", 16), Pair("cuda:3", 15)));
}

TEST(DevicePlan, SizesOfWeightsAreThoseInMemory) {
  const auto config = test::tiny_config();
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  const auto modules = module_sizes(weights);
  ASSERT_EQ(modules.size(), 4U);
  EXPECT_EQ(modules[0].bytes, config.vocab_size * config.hidden_size * 4);
  EXPECT_EQ(modules[3].bytes, (config.vocab_size + 1) * config.hidden_size * 4);
}

}  // namespace
}  // namespace m2
