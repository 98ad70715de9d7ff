#include "base/atomic_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "base/error.h"

namespace m2 {

AtomicFile::AtomicFile(const std::filesystem::path& target)
    : target_(target), path_(target.string() + ".tmp" + std::to_string(::getpid())) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !std::filesystem::is_directory(target), target.string(),
             ": is a directory");
  out_.open(path_, std::ios::binary | std::ios::trunc);
  M2_REQUIRE(ErrorCode::kInvalidArgument, out_.is_open(), target.string(),
             ": cannot write: ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove(path_, ignored);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  out_.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  M2_REQUIRE(ErrorCode::kResourceExhausted, out_.good(), target_.string(),
             ": cannot write (is the disk full?)");
}

void AtomicFile::finish() {
  if (!out_.is_open()) return;
  out_.close();
  M2_REQUIRE(ErrorCode::kResourceExhausted, out_.good(), target_.string(),
             ": cannot write (is the disk full?)");
}

void AtomicFile::commit() {
  finish();
  std::error_code error;
  std::filesystem::rename(path_, target_, error);
  M2_REQUIRE(ErrorCode::kInvalidArgument, !error, target_.string(),
             ": cannot replace: ", error.message());
  committed_ = true;
}

void make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  M2_REQUIRE(
      ErrorCode::kInvalidArgument,
      !std::filesystem::exists(directory, error) || std::filesystem::is_directory(directory, error),
      directory.string(), ": should be a directory, not a file");
  std::filesystem::create_directories(directory, error);
  M2_REQUIRE(ErrorCode::kInvalidArgument, !error, directory.string(),
             ": cannot make the directory: ", error.message());
}

}  // namespace m2
