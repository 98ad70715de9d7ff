// m2 download: a model of the hub into the cache.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "input_output.h"
#include "m2/hub.h"

namespace m2::app {
namespace {

struct DownloadOptions {
  std::string id;
  std::string file;
  HubOptions hub;
};

// One line on standard error, on a terminal only.
class DownloadLine {
 public:
  ~DownloadLine() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

  void show(const HubProgress& progress) {
    if (!stderr_is_terminal()) return;
    shown_ = true;
    std::fprintf(stderr, "\r%s of %s, %lld of %lld files: %.40s\033[K",
                 format_bytes(progress.bytes_done).c_str(),
                 format_bytes(progress.bytes_total).c_str(),
                 static_cast<long long>(progress.files_done),
                 static_cast<long long>(progress.files_total), progress.file.c_str());
  }

 private:
  bool shown_ = false;
};

void download(DownloadOptions options) {
  std::filesystem::path path;
  {
    const InterruptScope interrupt;
    DownloadLine line;
    options.hub.stop = interrupt.stop_token();
    options.hub.progress = [&line](const HubProgress& progress) { line.show(progress); };
    path = options.file.empty() ? snapshot_download(options.id, options.hub)
                                : hub_download(options.id, options.file, options.hub);
  }
  print(path.string() + "\n");
}

}  // namespace

void add_download_command(CLI::App& app) {
  auto options = std::make_shared<DownloadOptions>();
  CLI::App* command =
      app.add_subcommand("download", "A model of the hub into the cache; prints where it is");
  command->add_option("id", options->id, "\"owner/name\"")->required();
  command->add_option("file", options->file, "One file of it instead of all");
  command->add_option("--revision", options->hub.revision, "Branch, tag or commit")
      ->capture_default_str();
  command->add_option("--include", options->hub.allow_patterns,
                      "Only files that match a pattern such as \"*.json\"");
  command->add_option("--exclude", options->hub.ignore_patterns, "No files that match");
  command->add_option("--cache-dir", options->hub.cache_dir, "Where the cache is");
  command->add_option("--max-workers", options->hub.max_workers, "Files at the same time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--force", options->hub.force_download, "Download even what is there");
  command->add_flag("--offline", options->hub.local_files_only, "Only look into the cache");
  command->footer(
      "Interrupted downloads go on where they stopped. Python's huggingface_hub shares the cache.\n"
      "Environment: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.");
  command->callback([options] { download(*options); });
}

}  // namespace m2::app
