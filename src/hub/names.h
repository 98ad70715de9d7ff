// What may be a repository id, a revision or a file name: all three become paths in the cache.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace m2::hub {

/// Throw kInvalidArgument naming the text and the rule that it breaks.
void check_repo_id(std::string_view repo_id);
void check_revision(std::string_view revision);

/// Why `name` cannot be the path of a file in a repository ("it is absolute"), or nothing. Names
/// come from servers, too: a bad one must not lead out of the snapshot's directory.
[[nodiscard]] const char* file_name_fault(std::string_view name);

/// 40 lower-case hexadecimal digits.
[[nodiscard]] bool is_commit_hash(std::string_view text);
/// `digits` lower-case hexadecimal digits.
[[nodiscard]] bool is_hex(std::string_view text, std::size_t digits);

/// Python's fnmatch: * (across '/', too), ?, [set], [!set]. A pattern that ends in '/' means all
/// that is below. Time is at most the product of both lengths.
[[nodiscard]] bool matches_pattern(std::string_view name, std::string_view pattern);

/// No allow patterns means all; ignore patterns win.
[[nodiscard]] bool is_wanted(std::string_view name, const std::vector<std::string>& allow,
                             const std::vector<std::string>& ignore);

}  // namespace m2::hub
