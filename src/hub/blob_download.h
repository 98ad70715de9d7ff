// Brings one file's content into the cache: resumed where it was cut, checked, then given its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>

#include "hub/client.h"

namespace m2::hub {

struct BlobDownload {
  FileAddress address;    ///< by commit, so that what is resumed is the same file
  FileMetadata metadata;  ///< of it
  std::filesystem::path path;
  /// Called with the number of bytes that are there more than before; less is negative. What was
  /// there at the start counts.
  std::function<void(std::int64_t)> on_bytes;
};

/// The caller holds the blob's lock. What a failed download leaves stays in "<path>.incomplete" for
/// the next one, except when it is wrong. Throws what Client throws, and kCorruptFile when size or
/// hash are wrong, kResourceExhausted when there is no space or too many attempts failed.
void download_blob(Client& client, const BlobDownload& download, const TransferLimits& limits,
                   const std::stop_token& stop);

}  // namespace m2::hub
