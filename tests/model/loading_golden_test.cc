// What a load of odd checkpoints reports, against the reference (tools/make_loading_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/edited_checkpoint.h"
#include "support/paths.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

MiniMaxM2Config changed(const MiniMaxM2Config& config, const Json& changes) {
  Json json = Json::parse(config.to_json());
  json.update(changes);
  return MiniMaxM2Config::from_json(json.dump());
}

Shape shape_of(const Json& dims) { return Shape(dims.get<std::vector<std::int64_t>>()); }

TEST(LoadingGolden, ReportsWhatTheReferenceReports) {
  const auto cases = Json::parse(test::read_file(test::golden_path("loading/cases.json")));
  for (const Json& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>());
    test::EditedCheckpoint edited(item["golden"].get<std::string>());
    for (const auto& name : item["drop"]) edited.drop(name.get<std::string>());
    for (const auto& [name, dims] : item["put"].items()) {
      edited.put(name, DType::kF32, shape_of(dims));
    }
    edited.config = changed(edited.config, item["config"]);
    LoadReport report;
    edited.load(&report, {},
                {.initialize_missing = true,
                 .initialize_mismatched = true,
                 .head = !item["bare"].get<bool>()});
    EXPECT_EQ(Json(report.missing_keys), item["missing_keys"]);
    EXPECT_EQ(Json(report.unexpected_keys), item["unexpected_keys"]);
    ASSERT_EQ(report.mismatched_keys.size(), item["mismatched_keys"].size());
    for (std::size_t i = 0; i < report.mismatched_keys.size(); ++i) {
      const Json& expected = item["mismatched_keys"][i];
      EXPECT_EQ(report.mismatched_keys[i].name, expected[0]);
      EXPECT_EQ(report.mismatched_keys[i].file_shape, shape_of(expected[1]));
      EXPECT_EQ(report.mismatched_keys[i].model_shape, shape_of(expected[2]));
    }
  }
}

}  // namespace
}  // namespace m2
