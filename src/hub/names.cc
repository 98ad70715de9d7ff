#include "hub/names.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/utf8.h"
#include "m2/hub.h"

namespace m2::hub {
namespace {

constexpr std::size_t kMaxIdPart = 96;
constexpr std::size_t kMaxRevision = 200;
constexpr std::size_t kMaxFileName = 2048;
constexpr std::size_t kMaxPathPart = 200;  // room for suffixes below the usual limit of 255

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

bool is_id_part(std::string_view part) {
  return !part.empty() && part.size() <= kMaxIdPart && is_word(part.front()) &&
         is_word(part.back()) &&
         std::ranges::all_of(part, [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

const char* path_part_fault(std::string_view part) {
  if (part.empty()) return "it has an empty part";
  if (part == "." || part == "..") return "it has a part . or ..";
  if (part.size() > kMaxPathPart) return "a part of it is too long";
  return nullptr;
}

const char* path_fault(std::string_view path) {
  if (path.empty()) return "it is empty";
  if (path.front() == '/') return "it is absolute";
  if (std::ranges::any_of(path, is_control)) return "it has a control character";
  if (path.find('\\') != std::string_view::npos) return "it has a backslash";
  if (!utf8::is_valid(path)) return "it is not UTF-8";
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (const char* fault = path_part_fault(path.substr(begin, end - begin))) return fault;
    begin = end + 1;
  }
  return nullptr;
}

const char* revision_fault(std::string_view revision) {
  if (revision.size() > kMaxRevision) return "it is too long";
  // git allows none of these in a reference.
  if (revision.find("..") != std::string_view::npos) return "it has ..";
  if (revision.find_first_of(" ~^:?*[") != std::string_view::npos) {
    return "it has a character that git forbids";
  }
  return path_fault(revision);
}

// Length of the set that begins at pattern[0] == '[', or 0 when it is not closed.
std::size_t set_length(std::string_view pattern) {
  std::size_t pos = 1;
  if (pos < pattern.size() && pattern[pos] == '!') ++pos;
  if (pos < pattern.size() && pattern[pos] == ']') ++pos;
  const std::size_t end = pattern.find(']', pos);
  return end == std::string_view::npos ? 0 : end + 1;
}

bool in_set(char c, std::string_view set) {
  const bool negated = set.size() > 2 && set[1] == '!';
  const std::string_view members = set.substr(negated ? 2 : 1, set.size() - (negated ? 3 : 2));
  bool found = false;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i + 2 < members.size() && members[i + 1] == '-') {
      found = found || (members[i] <= c && c <= members[i + 2]);
      i += 2;
    } else {
      found = found || members[i] == c;
    }
  }
  return found != negated;
}

// Length of the pattern's first element if it takes `c`, else 0; `*` is not one.
std::size_t match_one(std::string_view pattern, char c) {
  if (pattern.empty()) return 0;
  if (pattern[0] == '?') return 1;
  const std::size_t set = pattern[0] == '[' ? set_length(pattern) : 0;
  if (set > 0) return in_set(c, pattern.substr(0, set)) ? set : 0;
  return pattern[0] == c ? 1 : 0;
}

}  // namespace

void check_repo_id(std::string_view repo_id) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, is_hub_id(std::string(repo_id)), "hub: \"",
             utf8::replace_invalid(repo_id),
             "\" is no model id: expected \"name\" or \"owner/name\" of letters, digits, '-', '_' "
             "and '.'");
}

void check_revision(std::string_view revision) {
  const char* fault = revision_fault(revision);
  M2_REQUIRE(ErrorCode::kInvalidArgument, fault == nullptr, "hub: \"",
             utf8::replace_invalid(revision), "\" is no revision: ", fault);
}

const char* file_name_fault(std::string_view name) {
  return name.size() > kMaxFileName ? "it is too long" : path_fault(name);
}

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_commit_hash(std::string_view text) { return is_hex(text, 40); }

bool matches_pattern(std::string_view name, std::string_view pattern) {
  const std::string below = std::string(pattern) + "*";
  if (pattern.ends_with('/')) pattern = below;
  std::size_t n = 0;
  std::size_t p = 0;
  // Where to go on when the last star takes one more character.
  std::size_t star = std::string_view::npos;
  std::size_t star_name = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_name = n;
    } else if (const std::size_t taken = match_one(pattern.substr(p), name[n]); taken > 0) {
      p += taken;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star;
      n = ++star_name;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool is_wanted(std::string_view name, const std::vector<std::string>& allow,
               const std::vector<std::string>& ignore) {
  const auto matches = [name](const std::string& pattern) {
    return matches_pattern(name, pattern);
  };
  return (allow.empty() || std::ranges::any_of(allow, matches)) &&
         std::ranges::none_of(ignore, matches);
}

}  // namespace m2::hub

namespace m2 {

bool is_hub_id(const std::string& name) {
  if (name.find("--") != std::string::npos || name.find("..") != std::string::npos ||
      name.ends_with(".git")) {
    return false;
  }
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) return hub::is_id_part(name);
  return hub::is_id_part(std::string_view(name).substr(0, slash)) &&
         hub::is_id_part(std::string_view(name).substr(slash + 1));
}

}  // namespace m2
