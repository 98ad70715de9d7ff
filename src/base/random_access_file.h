// Large reads from any place of a file, past the system's page cache where it can be had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace m2 {

/// Reads may run on several threads at the same time.
class RandomAccessFile {
 public:
  /// Offsets, sizes and memory of reads are multiples of it.
  static constexpr std::size_t kAlignment = 4096;

  /// Asks for direct reads; file systems that have none are read through the page cache. Throws
  /// kNotFound when the file cannot be opened.
  explicit RandomAccessFile(const std::filesystem::path& path);
  ~RandomAccessFile();
  RandomAccessFile(RandomAccessFile&& other) noexcept;
  RandomAccessFile& operator=(RandomAccessFile&&) = delete;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Fills `target` from `offset` on, up to the end of the file. Throws kCorruptFile when the
  /// system reports an error or `needed` bytes are not there.
  void read(std::uint64_t offset, std::span<std::byte> target, std::size_t needed) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace m2
