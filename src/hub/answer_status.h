// Statuses and headers of the hub's answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hub/http.h"

namespace m2::hub {

/// Throws what a failed answer means; `what` says in a message what was asked for.
void check_status(const HttpResponse& response, const std::string& what);

/// True when the repository and the revision exist but the file does not.
[[nodiscard]] bool is_missing_file(const HttpResponse& response);

/// A name for the blob: the header's value without quotes and weak mark. Throws kCorruptFile when
/// it is no plain file name.
[[nodiscard]] std::string normalize_etag(const std::string& value, const std::string& what);

/// A decimal number of bytes. Throws kCorruptFile.
[[nodiscard]] std::int64_t parse_size(const std::string& value, const std::string& what);

struct ContentRange {
  std::int64_t begin = 0;
  std::optional<std::int64_t> size;  ///< of the whole
};
/// "bytes 5-9/10" or "bytes 5-9/*". Throws kCorruptFile.
[[nodiscard]] ContentRange parse_content_range(const std::string& value, const std::string& what);

}  // namespace m2::hub
