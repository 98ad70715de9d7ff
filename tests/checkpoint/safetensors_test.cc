#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checkpoint/file_images.h"

namespace m2 {
namespace {

using test::error_of;
using test::safetensors_image;
using ::testing::HasSubstr;

SafetensorsContent parse(const std::string& image) {
  return parse_safetensors(std::as_bytes(std::span(image)), "file.safetensors");
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const std::string image = safetensors_image(
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[8,10]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("empty":{"dtype":"I64","shape":[3,0],"data_offsets":[10,10]}}   )",
      10);
  const auto content = parse(image);
  ASSERT_EQ(content.entries.size(), 3U);
  EXPECT_EQ(content.entries[0].name, "a");
  EXPECT_EQ(content.entries[0].view.dtype, DType::kF32);
  EXPECT_EQ(content.entries[0].view.shape, (Shape{1, 2}));
  EXPECT_EQ(content.entries[1].name, "b");
  EXPECT_EQ(*static_cast<const std::uint8_t*>(content.entries[1].view.data), 8);
  EXPECT_EQ(content.entries[2].view.num_elements(), 0);
  EXPECT_EQ(content.metadata.at("format"), "pt");
}

TEST(Safetensors, ReadsScalarsAndAnEmptySet) {
  const auto content =
      parse(safetensors_image(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8));
  EXPECT_EQ(content.entries.at(0).view.shape.rank(), 0);
  EXPECT_TRUE(parse(safetensors_image("{}", 0)).entries.empty());
}

struct Damage {
  const char* what;
  std::string image;
  const char* message;
};

std::string one(const char* fields, std::size_t data_bytes) {
  return safetensors_image(std::string(R"({"w":{)") + fields + "}}", data_bytes);
}

std::string with_length(std::uint64_t length) {
  std::string image = safetensors_image("{}", 0);
  std::memcpy(image.data(), &length, sizeof(length));
  return image;
}

class SafetensorsDamage : public ::testing::TestWithParam<Damage> {};

TEST_P(SafetensorsDamage, IsRefusedWithItsReason) {
  const std::string error = error_of([] { parse(GetParam().image); });
  EXPECT_THAT(error, HasSubstr("file.safetensors"));
  EXPECT_THAT(error, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, SafetensorsDamage,
    ::testing::Values(
        Damage{"no_length", "short", "corrupt_file: file.safetensors: expected a safetensors"},
        Damage{"absurd_length", with_length(1ULL << 60U), "exceeds the limit"},
        Damage{"largest_length", with_length(~0ULL), "exceeds the limit"},
        Damage{"length_beyond_file", with_length(3), "does not fit into a file of 10 bytes"},
        Damage{"no_header", with_length(0), "no JSON object"},
        Damage{"list", safetensors_image("[]", 0), "no JSON object"},
        Damage{"leading_space", safetensors_image(" {}", 0), "no JSON object"},
        Damage{"broken_json", safetensors_image(R"({"w":{"dtype")", 0), "is no JSON"},
        Damage{"trailing_text", safetensors_image("{} x", 0), "is no JSON"},
        Damage{"bad_utf8", safetensors_image("{\"\xff\":{}}", 0), "is no JSON"},
        Damage{"number_for_tensor", safetensors_image(R"({"w":1})", 0), "unexpected a number"},
        Damage{"nested", one(R"("dtype":{}, "shape":[])", 0), "tensor w: unexpected an object"},
        Damage{"unknown_field", one(R"("stride":[1])", 0), "tensor w: unexpected a list"},
        Damage{"negative", one(R"("shape":[-1])", 0), "tensor w: unexpected a negative number"},
        Damage{"fraction", one(R"("shape":[1.5])", 0), "tensor w: unexpected a fraction"},
        Damage{"number_of_dtype", one(R"("dtype":1)", 0), "tensor w: unexpected a number"},
        Damage{"metadata_number", safetensors_image(R"({"__metadata__":{"a":1}})", 0),
               "unexpected a number"},
        Damage{"no_dtype", one(R"("shape":[1],"data_offsets":[0,4])", 4),
               "tensor w: expected dtype, shape and data_offsets"},
        Damage{"repeated_field", one(R"("dtype":"F32","dtype":"F32")", 0),
               "tensor w: dtype appears twice"},
        Damage{"unknown_dtype", one(R"("dtype":"F33","shape":[1],"data_offsets":[0,4])", 4),
               "corrupt_file: file.safetensors: tensor w: dtype F33"},
        Damage{"foreign_dtype", one(R"("dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4])", 4),
               "unsupported: file.safetensors: tensor w: dtype F8_E5M2"},
        Damage{"size_mismatch", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4),
               "tensor w: F32 [2] needs 8 bytes, got 4"},
        Damage{"cut", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 7),
               "tensor w: bytes 0 to 8 lie outside the 7 bytes of data"},
        Damage{"backwards", one(R"("dtype":"U8","shape":[0],"data_offsets":[4,2])", 4),
               "tensor w: bytes 4 to 2 lie outside"},
        Damage{"three_offsets", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,2])", 2),
               "tensor w: expected two data_offsets, got 3"},
        Damage{"overflow",
               one(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])", 0),
               "tensor w: the product of its shape overflows"},
        Damage{"overflow_of_one_size",
               one(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0])", 0),
               "tensor w: the product of its shape overflows"},
        Damage{"rank", one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1])", 1),
               "tensor w: expected at most 6 dimensions, got 7"},
        Damage{"many_dimensions",
               one(("\"shape\":[1" +
                    [] {
                      std::string more;
                      for (int i = 0; i < 64; ++i) more += ",1";
                      return more;
                    }() +
                    "]")
                       .c_str(),
                   1),
               "tensor w: unexpected a list of more than 64 numbers"},
        Damage{"surplus_bytes", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])", 2),
               "the tensors take 1 bytes, but the file has 2 bytes of data"},
        Damage{"gap",
               safetensors_image(R"({"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("w":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                 3),
               "tensor w: begins at byte 2, a gap after byte 1"},
        Damage{"overlap",
               safetensors_image(R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                 R"("w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                                 3),
               "tensor w: begins at byte 1 and overlaps"},
        Damage{"repeated_name",
               safetensors_image(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                 2),
               "tensor w: the name appears twice"}),
    [](const auto& damage) { return std::string(damage.param.what); });

TEST(Safetensors, FileNamesThePathOfWhatIsDamaged) {
  const test::TempDir dir;
  const auto path = dir.write("a.safetensors", one(R"("dtype":"F32","shape":[1])", 0));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(path); }), HasSubstr(path.string()));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(dir.path() / "none"); }),
              HasSubstr("not_found: "));
  EXPECT_THAT(error_of([&] { SafetensorsFile file(dir.write("empty", "")); }),
              HasSubstr("a file of 0 bytes"));
}

}  // namespace
}  // namespace m2
