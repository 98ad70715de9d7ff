#include "gguf/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "checkpoint/file_images.h"
#include "gguf/gguf.h"

namespace m2 {
namespace {

using test::error_of;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

GgufWriter::Producer bytes_producer(std::size_t count, std::size_t pieces) {
  return [count, pieces](const GgufWriter::Sink& sink) {
    std::vector<std::byte> bytes(count / pieces);
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      std::ranges::fill(bytes, static_cast<std::byte>(piece + 1));
      sink(bytes);
    }
  };
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  const TempDir dir;
  GgufWriter writer;
  writer.set_text("general.architecture", "minimax-m2");
  writer.set_uint32("count", 7);
  writer.set_float32("eps", 0.25F);
  writer.set_bool("flag", true);
  writer.set_texts("names", std::vector<std::string>{"a", "", "\u00e4"});
  writer.set_int32s("types", std::vector<std::int32_t>{1, -3});
  writer.add("first", GgmlType::kF16, {3}, bytes_producer(6, 1));
  writer.add("experts", GgmlType::kQ8_0, {2, 1, 64}, bytes_producer(2 * 68, 2));
  writer.add("last", GgmlType::kF32, {2, 2}, bytes_producer(16, 4));
  writer.write(dir.path() / "m.gguf");

  const GgufModel model(dir.path() / "m.gguf");
  EXPECT_EQ(model.metadata().integer("count"), 7);
  EXPECT_EQ(model.metadata().number("eps"), 0.25);
  EXPECT_EQ(model.metadata().boolean("flag"), true);
  EXPECT_THAT(model.metadata().texts("names").value(), ElementsAre("a", "", "\u00e4"));
  EXPECT_THAT(model.metadata().integers("types").value(), ElementsAre(1, -3));
  const auto& tensors = model.files()[0]->tensors();
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].shape, (Shape{3}));
  EXPECT_EQ(tensors[1].name, "experts");
  EXPECT_EQ(tensors[1].shape, (Shape{2, 1, 64}));
  EXPECT_EQ(tensors[1].bytes[67], std::byte{1});
  EXPECT_EQ(tensors[1].bytes[68], std::byte{2});
  EXPECT_EQ(tensors[2].bytes[15], std::byte{4});
}

TEST(GgufWriter, NothingAppearsWhenAProducerFails) {
  const TempDir dir;
  GgufWriter writer;
  writer.add("w", GgmlType::kF32, {4}, bytes_producer(12, 1));
  EXPECT_THAT(error_of([&] { writer.write(dir.path() / "m.gguf"); }),
              HasSubstr("tensor w: the producer gave 12 bytes, expected 16"));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(GgufWriter, RefusesRepeatedNamesAndPartialBlocks) {
  GgufWriter writer;
  writer.set_bool("k", true);
  EXPECT_THAT(error_of([&] { writer.set_bool("k", true); }), HasSubstr("given twice"));
  writer.add("w", GgmlType::kF32, {1}, {});
  EXPECT_THAT(error_of([&] { writer.add("w", GgmlType::kF32, {1}, {}); }),
              HasSubstr("given twice"));
  EXPECT_THAT(error_of([&] {
                writer.add("x", GgmlType::kQ4_K, {2, 128}, {});
              }),
              HasSubstr("no whole blocks of Q4_K"));
}

}  // namespace
}  // namespace m2
