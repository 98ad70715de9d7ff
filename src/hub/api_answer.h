// The hub's answer to "what is in this repository at this revision".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace m2::hub {

struct RepoFile {
  std::string name;
  std::optional<std::int64_t> size;  ///< bytes, when the server says
};

struct RepoInfo {
  std::string commit;  ///< 40 hexadecimal digits
  std::vector<RepoFile> files;
};

/// Reads {"sha": ..., "siblings": [{"rfilename": ..., "size"?: ...}]}. Throws kCorruptFile, naming
/// `source`, for anything else, for names that would lead out of a directory, and for sizes beyond
/// reason.
[[nodiscard]] RepoInfo parse_repo_info(std::string_view json, const std::string& source);

}  // namespace m2::hub
