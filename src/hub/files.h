// Files of the cache: written whole or not at all, with errors that say what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace m2::hub {

/// Throws kResourceExhausted when there is no space (or quota), else kInvalidArgument:
/// "<path>: <what>: <reason>".
[[noreturn]] void throw_file_error(const std::filesystem::path& path, std::string_view what,
                                   int error_number);

void make_directories(const std::filesystem::path& path);
/// Replaces `to` in one step.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
/// A name beside `path` that nobody else uses.
[[nodiscard]] std::filesystem::path temporary_name(const std::filesystem::path& path);
/// Readers see the old or the new text, never a part.
void write_text(const std::filesystem::path& path, std::string_view text);
/// At most `max_bytes` of a file; nothing when it does not exist.
[[nodiscard]] std::optional<std::string> read_text(const std::filesystem::path& path,
                                                   std::size_t max_bytes);

/// A file open for writing; writing goes on behind what it has.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  [[nodiscard]] std::int64_t size() const { return size_; }
  void write(std::string_view data);
  void clear();
  /// Returns when the data has reached the disk, so that a rename cannot overtake it.
  void sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

}  // namespace m2::hub
