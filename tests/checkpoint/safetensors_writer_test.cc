#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checkpoint/file_images.h"
#include "checkpoint/safetensors.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using ::testing::HasSubstr;

// The goldens were written by the safetensors library; writing what was read from them must give
// the same bytes: order of tensors, header text and padding.
TEST(SafetensorsWriter, WritesTheBytesOfTheLibrary) {
  const test::TempDir dir;
  for (const char* name : {"gqa/model.safetensors", "gqa/golden.safetensors",
                           "fp8/model.safetensors", "f16/model.safetensors"}) {
    const auto path = test::golden_path(std::string("checkpoints/") + name);
    const SafetensorsFile file(path);
    SafetensorsWriter writer;
    for (auto entry = file.entries().rbegin(); entry != file.entries().rend(); ++entry) {
      writer.add(entry->name, entry->view);
    }
    writer.write(dir.path() / "copy.safetensors");
    EXPECT_TRUE(test::read_file(dir.path() / "copy.safetensors") == test::read_file(path)) << name;
  }
}

TEST(SafetensorsWriter, TakesTensorsFromProducersInPieces) {
  const test::TempDir dir;
  SafetensorsWriter writer;
  writer.set_metadata("quantised \"by\"", "test\n");
  writer.add("ünïcode \"name\"", DType::kU8, {3}, [](const SafetensorsWriter::Sink& sink) {
    const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
    sink(std::span(bytes).first(1));
    sink({});
    sink(std::span(bytes).subspan(1));
  });
  const auto path = dir.path() / "a.safetensors";
  writer.write(path);
  const SafetensorsFile file(path);
  ASSERT_EQ(file.entries().size(), 1U);
  EXPECT_EQ(file.entries()[0].name, "ünïcode \"name\"");
  EXPECT_EQ(static_cast<const std::uint8_t*>(file.entries()[0].view.data)[2], 3);
  EXPECT_EQ(file.metadata().at("quantised \"by\""), "test\n");
  EXPECT_EQ(std::filesystem::file_size(path) % 8, 3U);
}

TEST(SafetensorsWriter, AnEmptySetIsAFile) {
  const test::TempDir dir;
  SafetensorsWriter().write(dir.path() / "a.safetensors");
  EXPECT_TRUE(SafetensorsFile(dir.path() / "a.safetensors").entries().empty());
}

TEST(SafetensorsWriter, LeavesNothingBehindWhenAProducerFails) {
  const test::TempDir dir;
  const auto path = dir.write("a.safetensors", "old");
  SafetensorsWriter writer;
  writer.add("w", DType::kU8, {1}, [](const SafetensorsWriter::Sink& /*sink*/) {
    throw Error(ErrorCode::kCancelled, "stop");
  });
  EXPECT_EQ(error_of([&] { writer.write(path); }), "cancelled: stop");
  EXPECT_EQ(test::read_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(SafetensorsWriter, ChecksWhatProducersGive) {
  const test::TempDir dir;
  SafetensorsWriter writer;
  writer.add("w", DType::kU8, {1}, [](const SafetensorsWriter::Sink& /*sink*/) {});
  EXPECT_THAT(error_of([&] { writer.write(dir.path() / "a"); }),
              HasSubstr("tensor w: the producer gave 0 bytes for [1]"));
}

TEST(SafetensorsWriter, RefusesNamesAndPathsThatCannotBe) {
  const test::TempDir dir;
  SafetensorsWriter writer;
  const Tensor tensor(DType::kF32, {1});
  writer.add("w", tensor.view());
  EXPECT_THAT(error_of([&] { writer.add("w", DType::kU8, {1}, {}); }),
              HasSubstr("invalid_argument: safetensors: tensor w was added twice"));
  EXPECT_THAT(error_of([&] { writer.write(dir.path()); }), HasSubstr("is a directory"));
  EXPECT_THAT(error_of([&] { writer.write(dir.path() / "none" / "a"); }),
              HasSubstr("cannot write"));
}

}  // namespace
}  // namespace m2
