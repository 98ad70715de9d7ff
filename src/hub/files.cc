#include "hub/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.h"

namespace m2::hub {
namespace {

constexpr mode_t kMode = 0666;  // less the umask

bool is_lack_of_space(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

}  // namespace

void throw_file_error(const std::filesystem::path& path, std::string_view what, int error_number) {
  fail(is_lack_of_space(error_number) ? ErrorCode::kResourceExhausted : ErrorCode::kInvalidArgument,
       path.string(), ": ", what, ": ", std::strerror(error_number));
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw_file_error(path, "cannot make the directory", error.value());
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw_file_error(to, "cannot move a file here", errno);
  }
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> counter{0};
  std::filesystem::path result = path;
  result += "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
  return result;
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  make_directories(path.parent_path());
  const std::filesystem::path temporary = temporary_name(path);
  try {
    OutputFile file(temporary);
    file.clear();
    file.write(text);
    rename_file(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

std::optional<std::string> read_text(const std::filesystem::path& path, std::size_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(max_bytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(max_bytes));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, kMode);
  if (fd_ < 0) throw_file_error(path_, "cannot write", errno);
  struct stat info {};
  if (::fstat(fd_, &info) == 0) size_ = info.st_size;
}

OutputFile::~OutputFile() { ::close(fd_); }

void OutputFile::write(std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_file_error(path_, "cannot write", errno);
    size_ += written;
    data.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::clear() {
  if (::ftruncate(fd_, 0) != 0) throw_file_error(path_, "cannot write", errno);
  size_ = 0;
}

void OutputFile::sync() {
  if (::fsync(fd_) != 0) throw_file_error(path_, "cannot write", errno);
}

}  // namespace m2::hub
