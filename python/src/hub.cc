// snapshot_download and hub_download.
#include "bindings.h"
#include "interrupt.h"
#include "keywords.h"

#include <nanobind/stl/vector.h>

#include "m2/hub.h"

#include <filesystem>
#include <string>

namespace m2::python {
namespace {

nb::dict to_dict(const HubProgress& progress) {
  nb::dict dict;
  dict["file"] = progress.file;
  dict["files_done"] = progress.files_done;
  dict["files_total"] = progress.files_total;
  dict["bytes_done"] = progress.bytes_done;
  dict["bytes_total"] = progress.bytes_total;
  return dict;
}

HubOptions read_options(Keywords& keywords, InterruptibleCall& call, const char* function) {
  HubOptions options;
  keywords.take("revision", options.revision);
  keywords.take("cache_dir", options.cache_dir);
  keywords.take("endpoint", options.endpoint);
  keywords.take("token", options.token);
  keywords.take("local_files_only", options.local_files_only);
  keywords.take("force_download", options.force_download);
  keywords.take("allow_patterns", options.allow_patterns);
  keywords.take("ignore_patterns", options.ignore_patterns);
  keywords.take("max_workers", options.max_workers);
  const nb::handle progress = keywords.pop_callback("progress");
  if (progress.is_valid()) {
    options.progress = [&call, progress](const HubProgress& state) {
      call.guard([&] { progress(to_dict(state)); });
    };
  }
  options.stop = call.stop_token();
  keywords.finish(function);
  return options;
}

template <typename Download>
std::string run(const nb::kwargs& kwargs, const char* function, const Download& download) {
  Keywords keywords(kwargs);
  InterruptibleCall call;
  const HubOptions options = read_options(keywords, call, function);
  std::filesystem::path path;
  call.run([&] { path = download(options); });
  return path.string();
}

}  // namespace

void bind_hub(nb::module_& module) {
  module.def("is_hub_id", &is_hub_id, nb::arg("name"));
  module.def(
      "snapshot_download",
      [](const std::string& repo_id, const nb::kwargs& kwargs) {
        return run(kwargs, "snapshot_download",
                   [&](const HubOptions& options) { return snapshot_download(repo_id, options); });
      },
      nb::arg("repo_id"), nb::arg("kwargs"));
  module.def(
      "hub_download",
      [](const std::string& repo_id, const std::string& file, const nb::kwargs& kwargs) {
        return run(kwargs, "hub_download",
                   [&](const HubOptions& options) { return hub_download(repo_id, file, options); });
      },
      nb::arg("repo_id"), nb::arg("filename"), nb::arg("kwargs"));
}

}  // namespace m2::python
