#include "base/random_access_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "m2/error.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

struct Pages {
  explicit Pages(std::size_t count)
      : bytes(count * RandomAccessFile::kAlignment),
        memory(static_cast<std::byte*>(std::aligned_alloc(RandomAccessFile::kAlignment, bytes)),
               [](std::byte* data) { std::free(data); }) {}
  [[nodiscard]] std::span<std::byte> span() const { return {memory.get(), bytes}; }

  std::size_t bytes;
  std::shared_ptr<std::byte> memory;
};

class RandomAccess : public ::testing::Test {
 protected:
  RandomAccess() {
    std::ofstream out(path_, std::ios::binary);
    for (int i = 0; i < kBytes; ++i) out.put(static_cast<char>(i % 251));
  }
  ~RandomAccess() override { fs::remove(path_); }

  static constexpr int kBytes = 3 * 4096 + 100;
  fs::path path_ = fs::temp_directory_path() / ("m2_random_access_" + std::to_string(::getpid()));
};

TEST_F(RandomAccess, ReadsFromAnyPageUpToTheEnd) {
  const RandomAccessFile file(path_);
  const Pages pages(2);
  file.read(4096, pages.span(), pages.bytes);
  for (std::size_t i = 0; i < pages.bytes; ++i) {
    ASSERT_EQ(std::to_integer<int>(pages.span()[i]), static_cast<int>((4096 + i) % 251)) << i;
  }
  file.read(2 * 4096, pages.span(), 4096 + 100);
  EXPECT_EQ(std::to_integer<int>(pages.span()[4096 + 99]), (3 * 4096 + 99) % 251);
}

TEST_F(RandomAccess, SaysWhatIsMissing) {
  const RandomAccessFile file(path_);
  const Pages pages(2);
  try {
    file.read(2 * 4096, pages.span(), 4096 + 101);
    ADD_FAILURE() << "read past the end";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_NE(std::string(error.what()).find("ends after 4196"), std::string::npos) << error.what();
  }
  EXPECT_THROW(RandomAccessFile(path_.string() + ".absent"), Error);
}

}  // namespace
}  // namespace m2
