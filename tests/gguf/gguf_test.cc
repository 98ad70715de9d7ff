#include "gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "checkpoint/file_images.h"
#include "gguf/gguf_images.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using test::GgufImage;
using test::golden_path;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

GgufContent parse(const std::string& image) {
  return parse_gguf(std::as_bytes(std::span(image)), "file.gguf");
}

TEST(Gguf, ReadsEveryTypeOfMetadata) {
  const GgufFile file(golden_path("gguf/container.gguf"));
  const GgufMetadata& metadata = file.metadata();
  const std::pair<const char*, std::int64_t> integers[] = {
      {"test.uint8", 200},           {"test.int8", -100},
      {"test.uint16", 60000},        {"test.int16", -30000},
      {"test.uint32", 4000000000},   {"test.int32", -2000000000},
      {"test.int64", -(1LL << 62U)}, {"test.same", 7},
  };
  for (const auto& [key, value] : integers) EXPECT_EQ(metadata.integer(key), value) << key;
  EXPECT_EQ(metadata.number("test.float32"), 0.5);
  EXPECT_EQ(metadata.number("test.float64"), 1e-300);
  EXPECT_EQ(metadata.number("test.uint8"), 200.0);
  EXPECT_EQ(metadata.boolean("test.bool"), true);
  EXPECT_EQ(metadata.text("test.string"), "Zeichen: \u00e4\u6f22");
  EXPECT_THAT(metadata.texts("test.strings").value(), ElementsAre("", "a", "b c"));
  EXPECT_THAT(metadata.integers("test.int32s").value(), ElementsAre(1, -2, 3));
}

TEST(Gguf, ReadsTensorsWithTheOutermostDimensionFirst) {
  const GgufFile file(golden_path("gguf/container.gguf"));
  ASSERT_EQ(file.tensors().size(), 4U);
  const GgufTensor& embedding = file.tensors()[0];
  EXPECT_EQ(embedding.name, "token_embd.weight");
  EXPECT_EQ(embedding.type->type, GgmlType::kF32);
  EXPECT_EQ(embedding.shape, (Shape{3, 4}));
  float last = 0;
  std::memcpy(&last, embedding.bytes.data() + 11 * sizeof(float), sizeof(last));
  EXPECT_EQ(last, 11.0F);
  const GgufTensor& experts = file.tensors()[2];
  EXPECT_EQ(experts.type->type, GgmlType::kQ8_0);
  EXPECT_EQ(experts.shape, (Shape{2, 3, 64}));
  EXPECT_EQ(experts.bytes.size(), 2U * 3 * 2 * 34);
}

TEST(Gguf, AbsentKeysGiveNothing) {
  const GgufFile file(golden_path("gguf/container.gguf"));
  EXPECT_FALSE(file.metadata().contains("none"));
  EXPECT_EQ(file.metadata().text("none"), std::nullopt);
  EXPECT_EQ(file.metadata().integer("none"), std::nullopt);
  EXPECT_EQ(file.metadata().number("none"), std::nullopt);
  EXPECT_EQ(file.metadata().boolean("none"), std::nullopt);
  EXPECT_EQ(file.metadata().texts("none"), std::nullopt);
  EXPECT_EQ(file.metadata().integers("none"), std::nullopt);
}

TEST(Gguf, ValuesOfAnotherTypeAreRefused) {
  const GgufFile file(golden_path("gguf/container.gguf"));
  const GgufMetadata& metadata = file.metadata();
  EXPECT_THAT(error_of([&] { (void)metadata.text("test.int8"); }),
              HasSubstr("test.int8: expected a string, got int8"));
  EXPECT_THAT(error_of([&] { (void)metadata.integer("test.strings"); }),
              HasSubstr("test.strings: expected an integer, got an array of string"));
  EXPECT_THAT(error_of([&] { (void)metadata.integer("test.uint64"); }), HasSubstr("an integer"));
  EXPECT_THAT(error_of([&] { (void)metadata.integer("test.int32s"); }),
              HasSubstr("one number for all layers"));
  EXPECT_THAT(error_of([&] { (void)metadata.number("test.bool"); }), HasSubstr("a number"));
  EXPECT_THAT(error_of([&] { (void)metadata.boolean("test.int8"); }), HasSubstr("a bool"));
  EXPECT_THAT(error_of([&] { (void)metadata.texts("test.string"); }),
              HasSubstr("an array of strings, got string"));
  EXPECT_THAT(error_of([&] { (void)metadata.integers("test.uint8"); }),
              HasSubstr("an array of integers"));
}

TEST(Gguf, EveryCutIsRefused) {
  const std::string whole = test::read_file(golden_path("gguf/container.gguf"));
  const std::size_t needed = whole.size() - 32 + 4;  // the last tensor is one float, then padding
  for (std::size_t size = 0; size < needed; ++size) {
    EXPECT_THAT(error_of([&] { parse(whole.substr(0, size)); }), HasSubstr("file.gguf")) << size;
  }
  EXPECT_EQ(parse(whole.substr(0, needed)).tensors.size(), 4U);
}

struct Damage {
  const char* what;
  GgufImage image;
  const char* message;
};

class GgufDamage : public ::testing::TestWithParam<Damage> {};

TEST_P(GgufDamage, IsRefusedWithItsReason) {
  const std::string error = error_of([] { parse(GetParam().image.bytes()); });
  EXPECT_THAT(error, HasSubstr("file.gguf"));
  EXPECT_THAT(error, HasSubstr(GetParam().message));
}

constexpr std::uint32_t kUint32 = 4;
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;
constexpr std::uint32_t kF32 = 0;
constexpr std::uint32_t kQ4K = 12;
constexpr std::uint64_t kHuge = ~std::uint64_t{0};

INSTANTIATE_TEST_SUITE_P(
    All, GgufDamage,
    ::testing::Values(
        Damage{"magic", GgufImage().raw("GGML").data(64), "the first bytes are not GGUF"},
        Damage{"version", GgufImage().header(0, 0, 1), "expected version 2 or 3"},
        Damage{"endian", GgufImage().header(0, 0, 3U << 24U), "big-endian"},
        Damage{"tensors", GgufImage().header(kHuge, 0).data(64), "tensors do not fit"},
        Damage{"pairs", GgufImage().header(0, kHuge).data(64), "metadata pairs do not fit"},
        Damage{"no key", GgufImage().header(0, 1).text("").data(64), "expected 1 to 65535 bytes"},
        Damage{"long key", GgufImage().header(0, 1).number(kHuge).data(64), "exceed the"},
        Damage{"value type", GgufImage().header(0, 1).pair("k", 13).data(64),
               "there is no value type 13"},
        Damage{"long string", GgufImage().header(0, 1).pair("k", kString).number(kHuge).data(64),
               "exceed the"},
        Damage{"long array",
               GgufImage().header(0, 1).pair("k", kArray).number(kUint32).number(kHuge).data(64),
               "values of an array do not fit"},
        Damage{"nested array",
               GgufImage().header(0, 1).pair("k", kArray).number(kArray).number(kHuge).data(64),
               "arrays of arrays"},
        Damage{"same key",
               GgufImage().header(0, 2).pair("k", kUint32).number(1).pair("k", kUint32).number(1),
               "k appears twice"},
        Damage{"rank", GgufImage().header(1, 0).text("w").number(5).data(64),
               "at most 4 dimensions, got 5"},
        Damage{"tensor type", GgufImage().header(1, 0).tensor("w", 4, 1, 0).data(64),
               "tensor w: type 4 is not known"},
        Damage{"partial block", GgufImage().header(1, 0).tensor("w", kQ4K, 128, 0).data(256),
               "rows of 128 elements are no whole blocks of Q4_K"},
        Damage{"overflow", GgufImage().header(1, 0).tensor("w", kF32, kHuge / 4, 0).data(64),
               "overflows"},
        Damage{"misaligned", GgufImage().header(1, 0).tensor("w", kF32, 1, 4).data(64),
               "offset 4 is no multiple of 32"},
        Damage{"outside", GgufImage().header(1, 0).tensor("w", kF32, 17, 0).data(64),
               "68 bytes at 0 lie outside the 64 bytes of data"},
        Damage{"overlap",
               GgufImage().header(2, 0).tensor("a", kF32, 9, 0).tensor("b", kF32, 1, 32).data(64),
               "tensors a and b overlap"},
        Damage{"same tensor",
               GgufImage().header(2, 0).tensor("a", kF32, 1, 0).tensor("a", kF32, 1, 32).data(64),
               "tensor a appears twice"},
        Damage{"alignment",
               GgufImage().header(0, 1).pair("general.alignment", kUint32).number(24).data(64),
               "expected a power of two"}),
    [](const auto& damage) {
      std::string name = damage.param.what;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

}  // namespace
}  // namespace m2
