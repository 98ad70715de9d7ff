// Hashes that name a file's content on the hub.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace m2::hub {

enum class HashKind {
  kSha256,       ///< of large files: 64 hexadecimal digits
  kGitBlobSha1,  ///< of small ones: SHA-1 of "blob <size>\0" and the content; 40 digits
};

/// What an etag of the hub is, by its digits; nothing for those of other stores.
[[nodiscard]] std::optional<HashKind> hash_kind(std::string_view etag);

/// Hexadecimal digits. Throws kCancelled, and kCorruptFile when the file cannot be read.
[[nodiscard]] std::string hash_file(const std::filesystem::path& path, HashKind kind,
                                    const std::stop_token& stop);

}  // namespace m2::hub
