// A file that appears complete or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>

namespace m2 {

/// Writes under a temporary name in the same folder; commit() renames it to `target`. Without
/// commit() nothing remains and what `target` was before stays.
class AtomicFile {
 public:
  /// Throws kInvalidArgument when `target` is a directory or cannot be written.
  explicit AtomicFile(const std::filesystem::path& target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws kResourceExhausted when the disk takes no more.
  void write(std::span<const std::byte> bytes);
  /// Closes the temporary file; nothing can be written after it. commit() does this too.
  void finish();
  /// Throws kResourceExhausted (last bytes) or kInvalidArgument (rename).
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  std::ofstream out_;
  bool committed_ = false;
};

/// Makes `directory` and what is above it. Throws kInvalidArgument when it is a file or cannot be
/// made.
void make_directory(const std::filesystem::path& directory);

}  // namespace m2
