// A lock between processes, understood by Python's filelock: flock() on a file that stays.
#pragma once

#include <filesystem>
#include <stop_token>

namespace m2::hub {

/// Holds the lock while it lives. Threads of one process exclude each other, too.
class FileLock {
 public:
  /// Waits until the lock is free. Throws kCancelled when asked to stop, kUnsupported where the
  /// file system has no locks, kInvalidArgument where the lock file cannot be written.
  FileLock(const std::filesystem::path& path, const std::stop_token& stop);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace m2::hub
