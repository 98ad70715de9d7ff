#include "hub/api_answer.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "hub/names.h"

namespace m2::hub {
namespace {

using Json = nlohmann::json;

// Model cards come along in the answer, so it nests a little.
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxFiles = 200'000;
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 50;

Json parse(std::string_view text, const std::string& source) {
  const auto limit_depth = [&source](int depth, Json::parse_event_t /*event*/, Json& /*value*/) {
    M2_REQUIRE(ErrorCode::kCorruptFile, depth <= kMaxDepth, source, ": nested deeper than ",
               kMaxDepth);
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::kCorruptFile, source, ": not valid JSON: ", error.what());
  }
}

std::string string_member(const Json& object, const char* key, const std::string& source) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  M2_REQUIRE(ErrorCode::kCorruptFile, found != object.end() && found->is_string(), source,
             ": expected a string as ", key);
  return found->get<std::string>();
}

std::optional<std::int64_t> read_size(const Json& file, const std::string& source) {
  const auto found = file.find("size");
  if (found == file.end() || found->is_null()) return std::nullopt;
  M2_REQUIRE(ErrorCode::kCorruptFile,
             found->is_number_unsigned() && *found <= static_cast<std::uint64_t>(kMaxFileBytes),
             source, ": siblings: expected a size in bytes, got ", found->dump());
  return found->get<std::int64_t>();
}

RepoFile read_file(const Json& file, const std::string& source) {
  RepoFile result{.name = string_member(file, "rfilename", source),
                  .size = read_size(file, source)};
  const char* fault = file_name_fault(result.name);
  M2_REQUIRE(ErrorCode::kCorruptFile, fault == nullptr, source, ": the file name \"",
             utf8::replace_invalid(result.name), "\" cannot be used: ", fault);
  return result;
}

}  // namespace

RepoInfo parse_repo_info(std::string_view text, const std::string& source) {
  const Json json = parse(text, source);
  RepoInfo info{.commit = string_member(json, "sha", source), .files = {}};
  M2_REQUIRE(ErrorCode::kCorruptFile, is_commit_hash(info.commit), source,
             ": sha: expected 40 hexadecimal digits");
  const auto siblings = json.find("siblings");
  M2_REQUIRE(ErrorCode::kCorruptFile, siblings != json.end() && siblings->is_array(), source,
             ": expected a list as siblings");
  M2_REQUIRE(ErrorCode::kCorruptFile, siblings->size() <= kMaxFiles, source, ": ", siblings->size(),
             " files exceed the limit of ", kMaxFiles);
  info.files.reserve(siblings->size());
  for (const Json& file : *siblings) info.files.push_back(read_file(file, source));
  return info;
}

}  // namespace m2::hub
