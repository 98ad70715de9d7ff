// Models in several files, and which file a path means.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/file_images.h"
#include "gguf/gguf.h"
#include "gguf/gguf_images.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using test::GgufImage;
using test::golden_path;
using test::read_file;
using test::TempDir;
using ::testing::HasSubstr;

constexpr std::uint32_t kString = 8;

std::string image_of_architecture(const char* name) {
  return GgufImage().header(0, 1).pair("general.architecture", kString).text(name).bytes();
}

std::string part(int number) {
  return read_file(golden_path("gguf/split-0000" + std::to_string(number) + "-of-00002.gguf"));
}

TEST(GgufModel, ReadsAllPartsFromAnyOfThem) {
  for (const char* name : {"split-00001-of-00002.gguf", "split-00002-of-00002.gguf"}) {
    const GgufModel model(golden_path("gguf") / name);
    ASSERT_EQ(model.files().size(), 2U);
    EXPECT_EQ(model.files()[0]->tensors().size(), 3U);
    EXPECT_EQ(model.files()[1]->tensors().size(), 1U);
    EXPECT_TRUE(model.metadata().contains("test.string"));
    EXPECT_NE(model.find_tensor("output_norm.weight"), nullptr);
    EXPECT_EQ(model.find_tensor("output.weight"), nullptr);
  }
}

TEST(GgufModel, PartsMustBelongTogether) {
  const TempDir dir;
  dir.write("m-00001-of-00002.gguf", part(1));
  const auto first = dir.path() / "m-00001-of-00002.gguf";
  EXPECT_THAT(error_of([&] { GgufModel{first}; }),
              HasSubstr("m-00002-of-00002.gguf: part 2 of 2 is absent"));
  dir.write("m-00002-of-00002.gguf", part(1));
  EXPECT_THAT(error_of([&] { GgufModel{first}; }),
              HasSubstr("expected part 2 of 2, got split.no 0"));
  dir.write("renamed.gguf", part(1));
  EXPECT_THAT(error_of([&] { GgufModel{dir.path() / "renamed.gguf"}; }),
              HasSubstr("one of 2 parts, whose names must end in -00001-of-00002.gguf"));
}

TEST(GgufModel, OtherArchitecturesAreRefused) {
  const TempDir dir;
  const auto path = dir.write("m.gguf", image_of_architecture("llama"));
  EXPECT_THAT(error_of([&] { GgufModel{path}; }),
              HasSubstr("general.architecture: expected minimax-m2, got llama"));
}

TEST(FindGguf, TakesTheFileOrTheOnlyModelOfADirectory) {
  const TempDir dir;
  EXPECT_EQ(find_gguf(dir.path()), std::nullopt);
  EXPECT_EQ(find_gguf(dir.path() / "config.json"), std::nullopt);
  EXPECT_EQ(find_gguf("x.gguf"), "x.gguf");
  dir.write("m-00001-of-00002.gguf", "");
  dir.write("m-00002-of-00002.gguf", "");
  dir.write("config.json", "{}");
  EXPECT_EQ(find_gguf(dir.path()), dir.path() / "m-00001-of-00002.gguf");
  dir.write("other.gguf", "");
  EXPECT_THAT(error_of([&] { (void)find_gguf(dir.path()); }),
              HasSubstr("m-00001-of-00002.gguf and other.gguf; name one of them"));
}

}  // namespace
}  // namespace m2
