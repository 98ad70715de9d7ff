#include "checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "checkpoint/file_images.h"
#include "support/paths.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::safetensors_image;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file with one U8 tensor.
std::string file_with(const std::string& name, const std::string& shape = "[1]",
                      std::size_t bytes = 1) {
  return safetensors_image("{\"" + name + R"(":{"dtype":"U8","shape":)" + shape +
                               R"(,"data_offsets":[0,)" + std::to_string(bytes) + "]}}",
                           bytes);
}

std::vector<std::string> names(const Checkpoint& checkpoint) {
  std::vector<std::string> result;
  for (const auto& tensor : checkpoint.tensors()) result.emplace_back(tensor.name);
  return result;
}

TEST(Checkpoint, OpensEveryShardOfAnIndex) {
  const auto directory = test::golden_path("checkpoints/sharded");
  const auto checkpoint = Checkpoint::open(directory);
  EXPECT_EQ(checkpoint->num_files(), 7U);
  // 3 layers of 4 experts with 3 matrices and 10 other tensors; embedding, head and norm.
  EXPECT_EQ(checkpoint->tensors().size(), 3U * (12 + 10) + 3);
  EXPECT_EQ(checkpoint->copied_tensors(), 0);
  EXPECT_TRUE(checkpoint->repeated_names().empty());
  const auto* norm = checkpoint->find("model.norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->view.shape, (Shape{24}));
  EXPECT_TRUE(fs::exists(checkpoint->file_path(norm->file)));
  EXPECT_EQ(checkpoint->find("model.norm.weigh"), nullptr);
}

TEST(Checkpoint, PrefersASingleFileOverAnIndex) {
  const TempDir dir;
  dir.write("model.safetensors", file_with("single"));
  dir.write("shard", file_with("sharded"));
  dir.write("model.safetensors.index.json", R"({"metadata":{},"weight_map":{"sharded":"shard"}})");
  EXPECT_THAT(names(*Checkpoint::open(dir.path())), ElementsAre("single"));
}

TEST(Checkpoint, FindsVariantsAndSingleFiles) {
  const TempDir dir;
  dir.write("model.fp16.safetensors", file_with("a"));
  dir.write("shard", file_with("b"));
  dir.write("model.safetensors.index.x.json", R"({"metadata":{},"weight_map":{"b":"shard"}})");
  EXPECT_THAT(names(*Checkpoint::open(dir.path(), {.variant = "fp16"})), ElementsAre("a"));
  EXPECT_THAT(names(*Checkpoint::open(dir.path(), {.variant = "x"})), ElementsAre("b"));
  EXPECT_THAT(names(*Checkpoint::open(dir.path() / "shard")), ElementsAre("b"));
  EXPECT_THAT(error_of([&] { Checkpoint::open(dir.path(), {.variant = "y"}); }),
              HasSubstr("no file named model.y.safetensors or model.safetensors.index.y.json"));
}

TEST(Checkpoint, NamesWhatIsAbsent) {
  const TempDir dir;
  EXPECT_THAT(error_of([&] { Checkpoint::open(dir.path()); }),
              HasSubstr("no file named model.safetensors or model.safetensors.index.json"));
  EXPECT_THAT(error_of([&] { Checkpoint::open(dir.path() / "none"); }), HasSubstr("not_found: "));
  dir.write("pytorch_model.bin", "");
  EXPECT_THAT(
      error_of([&] { Checkpoint::open(dir.path()); }),
      HasSubstr("unsupported: " + dir.path().string() + ": pytorch_model.bin holds pickled"));
  dir.write("model.safetensors.index.json",
            R"({"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors"}})");
  EXPECT_THAT(error_of([&] { Checkpoint::open(dir.path()); }),
              HasSubstr("names the file model-00001-of-00002.safetensors, which is absent"));
}

TEST(Checkpoint, TakesTensorsThatTheMapDoesNotNameOrPlacesElsewhere) {
  const TempDir dir;
  dir.write("1", file_with("a"));
  dir.write("2", file_with("b"));
  dir.write("model.safetensors.index.json",
            R"({"metadata":{"dtype":"bfloat16"},"weight_map":{"b":"1","c":"2"}})");
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_THAT(names(*checkpoint), ElementsAre("a", "b"));
  EXPECT_EQ(checkpoint->index_dtype(), "bfloat16");
}

TEST(Checkpoint, LastFileWinsWhereANameRepeats) {
  const TempDir dir;
  dir.write("1", file_with("a", "[1]", 1));
  dir.write("2", file_with("a", "[2]", 2));
  dir.write("model.safetensors.index.json", R"({"metadata":{},"weight_map":{"a":"1","b":"2"}})");
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_EQ(checkpoint->tensors().size(), 1U);
  EXPECT_EQ(checkpoint->find("a")->view.shape, (Shape{2}));
  EXPECT_THAT(checkpoint->repeated_names(), ElementsAre("a"));
}

TEST(Checkpoint, CopiesOnlyWhatIsNotAligned) {
  const TempDir dir;
  // The header has 10 bytes more than a multiple of 8, so the F32 tensor is not aligned.
  std::string header = R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                       R"("f":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  header.resize((header.size() + 7) / 8 * 8 + 2, ' ');
  std::string image = safetensors_image(header, 4);
  const float value = 1.5F;
  image.append(reinterpret_cast<const char*>(&value), sizeof(value));
  dir.write("model.safetensors", image);
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_EQ(checkpoint->copied_tensors(), 1);
  EXPECT_EQ(checkpoint->copied_bytes(), 4);
  const auto* tensor = checkpoint->find("f");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor->view.data) % 4, 0U);
  EXPECT_EQ(*tensor->view.as<float>(), 1.5F);
}

TEST(Checkpoint, OrdersNamesNaturally) {
  std::vector<std::string> sorted = {"layers.10.w",  "layers.9.w",
                                     "layers.9",     "lm_head",
                                     "layers.009.x", "layers.x",
                                     "layers.10.a",  "layers.9.10.w",
                                     "layers.9.9.w", "layers.99999999999999999999999.w"};
  std::sort(sorted.begin(), sorted.end(), natural_less);
  EXPECT_THAT(sorted, ElementsAre("layers.009.x", "layers.9", "layers.9.9.w", "layers.9.10.w",
                                  "layers.9.w", "layers.10.a", "layers.10.w",
                                  "layers.99999999999999999999999.w", "layers.x", "lm_head"));
}

TEST(Checkpoint, NaturalOrderIsTotal) {
  const std::vector<std::string> pieces = {"", "0", "00", "9", "09", "10", "a", "a9"};
  std::vector<std::string> all;
  for (const auto& first : pieces) {
    all.push_back(first);
    for (const auto& second : pieces) all.push_back(first + "." + second);
  }
  for (const auto& a : all) {
    for (const auto& b : all) {
      ASSERT_EQ(natural_less(a, b) + natural_less(b, a), a != b) << a << " " << b;
      for (const auto& c : all) {
        if (natural_less(a, b) && natural_less(b, c)) {
          ASSERT_TRUE(natural_less(a, c)) << a << " " << b << " " << c;
        }
      }
    }
  }
}

TEST(SafetensorsIndex, RefusesWhatIsDamaged) {
  const auto error = [](std::string_view text) {
    return error_of([&] { parse_safetensors_index(text, "index"); });
  };
  EXPECT_THAT(error("{"), HasSubstr("corrupt_file: index: expected a JSON object"));
  EXPECT_THAT(error("[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error(R"({"weight_map":{"a":"b"}})"), HasSubstr("expected an object \"metadata\""));
  EXPECT_THAT(error(R"({"metadata":{}})"), HasSubstr("expected an object \"weight_map\""));
  EXPECT_THAT(error(R"({"metadata":{},"weight_map":{}})"), HasSubstr("names no file"));
  EXPECT_THAT(error(R"({"metadata":{},"weight_map":{"a":1}})"),
              HasSubstr("weight_map entry a: expected a file name"));
  for (const char* name : {"/etc/passwd", "../x", "a/../../x", "", "a\\u0000b"}) {
    const std::string text = std::string(R"({"metadata":{},"weight_map":{"a":")") + name + "\"}}";
    EXPECT_THAT(error(text), HasSubstr("not a path inside the model directory")) << name;
  }
}

}  // namespace
}  // namespace m2
