#include "base/random_access_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2 {

RandomAccessFile::RandomAccessFile(const std::filesystem::path& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd_ < 0 && errno == EINVAL) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  M2_REQUIRE(ErrorCode::kNotFound, fd_ >= 0, path.string(),
             ": cannot open: ", std::strerror(errno));
}

RandomAccessFile::~RandomAccessFile() {
  if (fd_ >= 0) ::close(fd_);
}

RandomAccessFile::RandomAccessFile(RandomAccessFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void RandomAccessFile::read(std::uint64_t offset, std::span<std::byte> target,
                            std::size_t needed) const {
  M2_DCHECK(offset % kAlignment == 0 && target.size() % kAlignment == 0 && needed <= target.size(),
            "read of ", target.size(), " bytes at ", offset);
  std::size_t done = 0;
  while (done < needed) {
    const ::ssize_t count = ::pread(fd_, target.data() + done, target.size() - done,
                                    static_cast<::off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    M2_REQUIRE(ErrorCode::kCorruptFile, count >= 0, path_.string(), ": cannot read ", needed,
               " bytes at ", offset, ": ", std::strerror(errno));
    M2_REQUIRE(ErrorCode::kCorruptFile, count > 0, path_.string(), ": expected ", needed,
               " bytes at ", offset, ", the file ends after ", done);
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace m2
