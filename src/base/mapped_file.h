// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace m2 {

/// Owns the mapping; views into bytes() live as long as this object. Pages are read on first
/// use and are shared with the page cache, so mapping costs no memory of the process.
class MappedFile {
 public:
  /// Throws kNotFound when the file cannot be opened, kCorruptFile when it is no regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Asks the system to read the pages of a mapping soon; for other memory it does nothing.
void prefetch_memory(const void* data, std::size_t bytes);

/// Takes the pages of a mapping out of the process's memory; a later use brings them back. Only for
/// memory inside a MappedFile: what other memory holds would be lost.
void release_mapping(const void* data, std::size_t bytes);

}  // namespace m2
