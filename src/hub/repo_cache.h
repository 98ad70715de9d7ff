// One repository in the cache directory that huggingface_hub uses too:
//
//   models--owner--name/blobs/<etag>                   contents, <etag>.incomplete while they come
//   models--owner--name/refs/<revision>                the commit that a branch or tag had last
//   models--owner--name/snapshots/<commit>/<file>      links into blobs
//   models--owner--name/.no_exist/<commit>/<file>      empty: the repository has no such file
//   .locks/models--owner--name/<etag>.lock             held while a blob is written
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace m2::hub {

class RepoCache {
 public:
  RepoCache(const std::filesystem::path& cache_dir, const std::string& repo_id);

  [[nodiscard]] std::filesystem::path blob(const std::string& etag) const;
  [[nodiscard]] std::filesystem::path lock(const std::string& etag) const;
  [[nodiscard]] std::filesystem::path snapshot(const std::string& commit) const;
  [[nodiscard]] std::filesystem::path snapshot_file(const std::string& commit,
                                                    const std::string& file) const;

  /// The commit of a revision, as the cache knows it; a commit hash is itself.
  [[nodiscard]] std::optional<std::string> find_commit(const std::string& revision) const;
  /// Nothing happens when the revision is the commit or is known to be at it.
  void save_commit(const std::string& revision, const std::string& commit) const;

  [[nodiscard]] bool has_snapshot_file(const std::string& commit, const std::string& file) const;
  /// Makes the snapshot's file a relative link to the blob. Where links are switched off or the
  /// file system has none, a new blob is moved there and an old one copied, as huggingface_hub
  /// does.
  void add_to_snapshot(const std::string& etag, const std::string& commit, const std::string& file,
                       bool symlinks, bool blob_is_new) const;

  [[nodiscard]] bool is_known_missing(const std::string& commit, const std::string& file) const;
  void save_missing(const std::string& commit, const std::string& file) const;

 private:
  std::filesystem::path root_;
  std::filesystem::path locks_;
};

}  // namespace m2::hub
