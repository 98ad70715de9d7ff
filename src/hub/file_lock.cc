#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"
#include "hub/files.h"

namespace m2::hub {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(50);
// Group-writable, as huggingface_hub makes them, so that users of a group can share a cache.
constexpr mode_t kMode = 0664;

// True when locked; false when another holds it.
bool try_lock(int fd, const std::filesystem::path& path) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  const int error = errno;
  if (error == EWOULDBLOCK || error == EACCES || error == EINTR) return false;
  fail(ErrorCode::kUnsupported, path.string(), ": cannot lock: ", std::strerror(error));
}

// Some versions of filelock delete the file on release; then the next one makes another file, and
// a lock on the old one excludes nobody.
bool is_still_there(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

int open_lock_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode);
  if (fd < 0) throw_file_error(path, "cannot open the lock file", errno);
  return fd;
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, const std::stop_token& stop) {
  make_directories(path.parent_path());
  for (;;) {
    if (fd_ < 0) fd_ = open_lock_file(path);
    try {
      if (try_lock(fd_, path)) {
        if (is_still_there(fd_)) return;
        ::close(std::exchange(fd_, -1));
        continue;
      }
      M2_REQUIRE(ErrorCode::kCancelled, !stop.stop_requested(), "hub: download cancelled");
    } catch (...) {
      ::close(fd_);
      throw;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

FileLock::~FileLock() { ::close(fd_); }

}  // namespace m2::hub
