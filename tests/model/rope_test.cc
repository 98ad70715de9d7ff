#include "model/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "checkpoint/safetensors.h"
#include "m2/error.h"
#include "support/paths.h"

namespace m2 {
namespace {

// What transformers computed: configs and tables of every case.
class RopeGolden {
 public:
  RopeGolden()
      : file_(test::golden_path("rope/tables.safetensors")),
        configs_(nlohmann::json::parse(test::read_file(test::golden_path("rope/configs.json")))) {
    for (const auto& entry : file_.entries()) by_name_[entry.name] = entry.view;
  }

  [[nodiscard]] std::vector<std::string> cases() const {
    std::vector<std::string> names;
    for (const auto& [name, config] : configs_.items()) names.push_back(name);
    return names;
  }
  [[nodiscard]] RopeTable table(const std::string& name) const {
    return RopeTable(MiniMaxM2Config::from_json(configs_.at(name).dump()));
  }
  [[nodiscard]] std::span<const float> floats(const std::string& name) const {
    const TensorView& view = by_name_.at(name);
    return {view.as<float>(), static_cast<std::size_t>(view.num_elements())};
  }
  [[nodiscard]] std::vector<std::int64_t> positions(const std::string& batch) const {
    const TensorView& view = by_name_.at("positions." + batch);
    const auto* first = view.as<std::int64_t>();
    return {first, first + view.num_elements()};
  }

 private:
  SafetensorsFile file_;
  nlohmann::json configs_;
  std::map<std::string, TensorView> by_name_;
};

const RopeGolden& golden() {
  static const RopeGolden instance;
  return instance;
}

// Largest |a - b| / |b|.
double relative_error(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]) / std::abs(b[i]));
  }
  return worst;
}

// The library's vectorised power is within one unit in the last place of the exact value, ours
// too, and up to two more operations round: 4 units.
constexpr double kTolerance = 4 * 0x1p-23;

TEST(Rope, FrequenciesAndScaleOfEveryType) {
  ASSERT_EQ(golden().cases().size(), 20U);
  double worst = 0;
  for (const auto& name : golden().cases()) {
    const RopeTable table = golden().table(name);
    const auto expected = golden().floats(name + ".inv_freq");
    EXPECT_EQ(table.rotary_dim(), std::ssize(expected) * 2) << name;
    const double error = relative_error(table.inv_freq(), expected);
    EXPECT_LE(error, kTolerance) << name;
    worst = std::max(worst, error);
    EXPECT_FLOAT_EQ(table.attention_scale(), golden().floats(name + ".attention_scale")[0]) << name;
  }
  RecordProperty("worst_relative_error", std::to_string(worst));
}

class RopeBatch : public ::testing::TestWithParam<const char*> {};

TEST_P(RopeBatch, FrequenciesFollowTheLongestPosition) {
  const std::string batch = GetParam();
  const auto positions = golden().positions(batch);
  const std::int64_t seq_len = *std::max_element(positions.begin(), positions.end()) + 1;
  for (const auto& name : golden().cases()) {
    const auto expected = golden().floats(name + "." + batch + ".inv_freq");
    EXPECT_LE(relative_error(golden().table(name).inv_freq(seq_len), expected), kTolerance) << name;
  }
}

TEST_P(RopeBatch, CosinesAndSines) {
  const std::string batch = GetParam();
  const auto positions = golden().positions(batch);
  for (const auto& name : golden().cases()) {
    const RopeTable table = golden().table(name);
    const std::int64_t half = table.rotary_dim() / 2;
    const Tensor cos(DType::kF32, {std::ssize(positions), half});
    const Tensor sin(DType::kF32, {std::ssize(positions), half});
    table.fill(positions, cos.view(), sin.view());
    const auto frequencies = golden().floats(name + "." + batch + ".inv_freq");
    const auto expected_cos = golden().floats(name + "." + batch + ".cos");
    const auto expected_sin = golden().floats(name + "." + batch + ".sin");
    ASSERT_EQ(std::ssize(expected_cos), cos.view().num_elements()) << name;
    for (std::size_t i = 0; i < expected_cos.size(); ++i) {
      const auto t = i / static_cast<std::size_t>(half);
      const auto j = i % static_cast<std::size_t>(half);
      const double angle = static_cast<double>(positions[t]) * frequencies[j];
      const double tolerance = table.attention_scale() * (angle * kTolerance + 0x1p-22);
      ASSERT_NEAR(cos.as<float>()[i], expected_cos[i], tolerance) << name << " " << t << " " << j;
      ASSERT_NEAR(sin.as<float>()[i], expected_sin[i], tolerance) << name << " " << t << " " << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RopeBatch, ::testing::Values("short", "original", "long", "far"),
                         [](const auto& batch) { return std::string(batch.param); });

TEST(Rope, DynamicReturnsToTheOriginalFrequencies) {
  const RopeTable table = golden().table("dynamic");
  const auto original = table.inv_freq(10);
  EXPECT_NE(table.inv_freq(5000), original);
  EXPECT_EQ(table.inv_freq(4096), original);
}

TEST(Rope, GivenLengthMakesSequencesIndependentOfTheirBatch) {
  const RopeTable table = golden().table("longrope");
  const std::vector<std::int64_t> positions = {3, 2000};
  const Shape shape{1, table.rotary_dim() / 2};
  const Tensor alone(DType::kF32, shape);
  const Tensor given(DType::kF32, shape);
  const Tensor sin(DType::kF32, shape);
  const std::span<const std::int64_t> first(positions.data(), 1);
  table.fill(first, alone.view(), sin.view());
  table.fill(first, 4, given.view(), sin.view());
  EXPECT_EQ(alone.as<float>()[1], given.as<float>()[1]);
  table.fill(first, 2001, given.view(), sin.view());
  EXPECT_NE(alone.as<float>()[1], given.as<float>()[1]);
}

TEST(Rope, NoPositionsIsLegal) {
  const RopeTable table = golden().table("dynamic");
  const Tensor cos(DType::kF32, {0, table.rotary_dim() / 2});
  table.fill({}, cos.view(), cos.view());
}

TEST(Rope, TablesMustHaveTheShapeOfThePositions) {
  const RopeTable table = golden().table("default");
  const std::vector<std::int64_t> positions = {1};
  const Tensor cos(DType::kF32, {2, table.rotary_dim() / 2});
  EXPECT_THROW(table.fill(positions, cos.view(), cos.view()), Error);
}

}  // namespace
}  // namespace m2
