#include "hub/repo_cache.h"

#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "hub/files.h"
#include "hub/names.h"

namespace m2::hub {
namespace {

namespace fs = std::filesystem;

std::string folder_name(const std::string& repo_id) {
  std::string name = "models--" + repo_id;
  if (const std::size_t slash = name.find('/'); slash != std::string::npos) {
    name.replace(slash, 1, "--");
  }
  return name;
}

// False where the file system has no links.
bool try_symlink(const fs::path& target, const fs::path& link) {
  if (::symlink(target.c_str(), link.c_str()) == 0) return true;
  const int error = errno;
  if (error == EPERM || error == EOPNOTSUPP || error == ENOSYS) return false;
  throw_file_error(link, "cannot make the link", error);
}

void copy_into_place(const fs::path& from, const fs::path& to) {
  const fs::path temporary = temporary_name(to);
  std::error_code error;
  fs::copy_file(from, temporary, error);
  if (error) {
    ::unlink(temporary.c_str());
    throw_file_error(to, "cannot copy the file here", error.value());
  }
  rename_file(temporary, to);
}

}  // namespace

RepoCache::RepoCache(const fs::path& cache_dir, const std::string& repo_id)
    : root_(cache_dir / folder_name(repo_id)),
      locks_(cache_dir / ".locks" / folder_name(repo_id)) {}

fs::path RepoCache::blob(const std::string& etag) const { return root_ / "blobs" / etag; }

fs::path RepoCache::lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }

fs::path RepoCache::snapshot(const std::string& commit) const {
  return root_ / "snapshots" / commit;
}

fs::path RepoCache::snapshot_file(const std::string& commit, const std::string& file) const {
  return snapshot(commit) / file;
}

std::optional<std::string> RepoCache::find_commit(const std::string& revision) const {
  if (is_commit_hash(revision)) return revision;
  constexpr std::size_t kCommitDigits = 40;
  const auto text = read_text(root_ / "refs" / revision, kCommitDigits + 1);
  if (!text || !is_commit_hash(*text)) return std::nullopt;
  return text;
}

void RepoCache::save_commit(const std::string& revision, const std::string& commit) const {
  if (find_commit(revision) != commit) write_text(root_ / "refs" / revision, commit);
}

bool RepoCache::has_snapshot_file(const std::string& commit, const std::string& file) const {
  std::error_code error;
  return fs::is_regular_file(snapshot_file(commit, file), error);
}

void RepoCache::add_to_snapshot(const std::string& etag, const std::string& commit,
                                const std::string& file, bool symlinks, bool blob_is_new) const {
  const fs::path path = snapshot_file(commit, file);
  make_directories(path.parent_path());
  const fs::path link = temporary_name(path);
  if (symlinks && try_symlink(blob(etag).lexically_relative(path.parent_path()), link)) {
    rename_file(link, path);
  } else if (blob_is_new) {
    rename_file(blob(etag), path);
  } else {
    copy_into_place(blob(etag), path);
  }
}

bool RepoCache::is_known_missing(const std::string& commit, const std::string& file) const {
  std::error_code error;
  return fs::exists(root_ / ".no_exist" / commit / file, error);
}

void RepoCache::save_missing(const std::string& commit, const std::string& file) const {
  if (!is_known_missing(commit, file)) write_text(root_ / ".no_exist" / commit / file, "");
}

}  // namespace m2::hub
