#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2 {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  M2_REQUIRE(ErrorCode::kNotFound, fd >= 0, path.string(), ": cannot open: ", std::strerror(errno));
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (regular && info.st_size > 0) {
    size_ = static_cast<std::size_t>(info.st_size);
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    data_ = address == MAP_FAILED ? nullptr : static_cast<const std::byte*>(address);
  }
  const int map_error = errno;
  ::close(fd);  // The mapping keeps the file alive.
  M2_REQUIRE(ErrorCode::kCorruptFile, regular, path.string(),
             ": expected a regular file, got something else");
  M2_REQUIRE(ErrorCode::kResourceExhausted, size_ == 0 || data_ != nullptr, path.string(),
             ": cannot map ", size_, " bytes: ", std::strerror(map_error));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

namespace {

// Hints: what the system makes of them changes nothing but time and memory.
void advise(const void* data, std::size_t bytes, int advice) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = address / page * page;
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), address + bytes - begin, advice));
}

}  // namespace

void prefetch_memory(const void* data, std::size_t bytes) { advise(data, bytes, MADV_WILLNEED); }

void release_mapping(const void* data, std::size_t bytes) { advise(data, bytes, MADV_DONTNEED); }

}  // namespace m2
